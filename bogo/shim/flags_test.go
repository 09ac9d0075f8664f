package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Prefixes say which of a test's connections a flag is about.
func TestFlags(t *testing.T) {
	s, err := parse(strings.Fields(`-server -curves 29 -curves 23
		-on-initial-min-version 771 -on-resume-min-version 772 -on-retry-verify-fail
		-on-shim-cert-file legacy -on-handshaker-cert-file nobody
		-new-x509-credential -cert-file first -new-x509-credential -cert-file second -signing-prefs 1027`))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		connection string
		o          *options
		version    int
		verifyFail bool
	}{
		{"first", &s.initial, 771, false}, {"resuming", &s.resume, 772, false}, {"retried", &s.retry, 0, true},
	} {
		o := row.o
		if !o.server || !slices.Equal(o.curves, []uint16{29, 23}) {
			t.Errorf("flags without a prefix are not those of the %s connection: %+v", row.connection, o)
		}
		if o.minVersion != row.version || o.verifyFail != row.verifyFail {
			t.Errorf("the %s connection is of version %d and fails to verify %v, want %d and %v",
				row.connection, o.minVersion, o.verifyFail, row.version, row.verifyFail)
		}
		if o.legacy.certFile != "legacy" || len(o.credentials) != 2 || o.credentials[0].certFile != "first" ||
			o.credentials[1].certFile != "second" || !slices.Equal(o.credentials[1].signingPrefs, []uint16{1027}) {
			t.Errorf("the %s connection has other credentials: %+v", row.connection, o)
		}
	}
	if _, err := parse([]string{"-no-such-flag"}); !errors.Is(err, errUnimplemented) {
		t.Errorf("a flag that nobody knows is %v", err)
	}
	for _, args := range []string{"-port", "-port x", "-curves 65536", "-ocsp-response %"} {
		if _, err := parse(strings.Fields(args)); err == nil || errors.Is(err, errUnimplemented) {
			t.Errorf("%s: the error is %v", args, err)
		}
	}
}
