package wire

// Finished is RFC 9846, Section 4.5.3. Only the caller knows the hash, and so
// the length that VerifyData must have.
type Finished struct {
	VerifyData []byte
}

// Parse reads the body of a Finished, which cannot fail.
func (m *Finished) Parse(body []byte) error {
	m.VerifyData = body
	return nil
}

// Append appends the message.
func (m *Finished) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, TypeFinished)
	return End(append(b, m.VerifyData...), start)
}
