package main

import (
	"crypto/tls"
	"errors"
)

// versions are the bounds of TLS that -min-version and -max-version set.
type versions struct{ min, max version }

func (c *call) versions() *versions {
	v := new(versions)
	c.Var(&v.min, "min-version", "speak no older `version` of TLS: 1.2 or 1.3 (default 1.2)")
	c.Var(&v.max, "max-version", "speak no newer `version` of TLS: 1.2 or 1.3 (default 1.3)")
	return v
}

// check refuses bounds that leave nothing.
func (v *versions) check() error {
	if v.max != 0 && v.min > v.max {
		return usageError("-min-version is above -max-version")
	}
	return nil
}

// version is a flag's value, as in crypto/tls; 0 is the library's own bound.
type version uint16

func (v *version) String() string {
	switch *v {
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return ""
}

func (v *version) Set(text string) error {
	switch text {
	case "1.2":
		*v = tls.VersionTLS12
	case "1.3":
		*v = tls.VersionTLS13
	default:
		return errors.New("1.2 and 1.3 are supported")
	}
	return nil
}
