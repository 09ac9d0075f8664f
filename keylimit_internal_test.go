package baretls

// LimitClientKeys sets how many records a client may seal under one key. No
// configuration can do that: the suites' own limits are out of reach of a test.
func LimitClientKeys(c *ClientConfig, records uint64) error {
	policy, err := c.compile()
	if err == nil {
		policy.TestingKeyLimit = records
	}
	return err
}

// LimitServerKeys does the same for a server.
func LimitServerKeys(c *ServerConfig, records uint64) error {
	policy, err := c.compile()
	if err == nil {
		policy.TestingKeyLimit = records
	}
	return err
}
