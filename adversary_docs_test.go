package baretls_test

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"regexp"
	"testing"
)

// The table of violations is promised to be long, to name for each the section
// that demands the alert, and to be what docs/violations.md shows.

func TestViolationsAreManyAndNameTheirRules(t *testing.T) {
	list := violations()
	if len(list) < 150 {
		t.Errorf("there are %d violations; 150 were promised", len(list))
	}
	section := regexp.MustCompile(`^RFC \d{4}, (Section|Appendix) [A-E\d](\.\d+)*$`)
	seen := make(map[string]bool)
	count := make(map[string]int)
	for _, v := range list {
		if !section.MatchString(v.rule) {
			t.Errorf("%s: the rule is %q, which names no section", v.title(), v.rule)
		}
		if v.outcome != isIgnored && alertNames[v.alert] == "" {
			t.Errorf("%s: the alert %d has no name", v.title(), v.alert)
		}
		if row := v.title() + v.scene.name; seen[row] {
			t.Errorf("%s is in the table twice", v.title())
		} else {
			seen[row] = true
		}
		count[tls.VersionName(uint16(v.version))+", "+v.victim]++
	}
	for _, of := range []string{"TLS 1.3, client", "TLS 1.3, server", "TLS 1.2, client", "TLS 1.2, server"} {
		if count[of] < 50 {
			t.Errorf("%s: there are %d violations, want 50", of, count[of])
		}
	}
}

var update = flag.Bool("update", false, "write what is generated: docs/violations.md and testdata/allocations.txt")

func TestViolationsDocumentIsThatOfTheTable(t *testing.T) {
	const path = "docs/violations.md"
	want := violationsDocument()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := readFile(t, path); got != string(want) {
		t.Error("docs/violations.md is not what the table says: go test -run ViolationsDocument -update")
	}
}

func violationsDocument() []byte {
	list := violations()
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Violations

What the tests' adversary does, and what comes of it: %d rows. The adversary is a peer that
completes any handshake and breaks one rule. Each row is run: the victim must fail with that
alert, the adversary must be able to read it, and the connection must stay failed. Where the
RFCs leave the alert open, the row says what ours is; a limit of ours has no section of its own
and names that of what it limits. The table is in `+"`adversary_rules_test.go`"+`, and this page is
generated from it:

    go test -run ViolationsDocument -update
`, len(list))
	for _, v := range []version{tls13, tls12} {
		for _, victim := range []string{"client", "server"} {
			fmt.Fprintf(&b, "\n## %s, against a %s\n\n| the peer sends | in | what comes of it | rule |\n|---|---|---|---|\n", tls.VersionName(uint16(v)), victim)
			for _, row := range list {
				if row.version == v && row.victim == victim {
					fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.what, row.scene.name, row.comesTo(), row.rule)
				}
			}
		}
	}
	return b.Bytes()
}

func (v violation) comesTo() string {
	switch v.outcome {
	case isIgnored:
		return "it is ignored"
	case isTold:
		return "the end, without an answer"
	case isUnheard:
		return alertNames[v.alert] + ", under keys that the peer has not"
	}
	return alertNames[v.alert]
}

// alertNames are those of RFC 9846, Section 6.
var alertNames = map[tls.AlertError]string{
	closeNotify: "close_notify", unexpectedMessage: "unexpected_message", badRecordMAC: "bad_record_mac",
	recordOverflow: "record_overflow", handshakeFailure: "handshake_failure", badCertificate: "bad_certificate",
	unsupportedCertificate: "unsupported_certificate", certificateExpired: "certificate_expired",
	certificateUnknown: "certificate_unknown", illegalParameter: "illegal_parameter", unknownCA: "unknown_ca",
	decodeError: "decode_error", decryptError: "decrypt_error", protocolVersion: "protocol_version",
	internalError: "internal_error", inappropriateFall: "inappropriate_fallback", missingExtension: "missing_extension",
	unsupportedExtension: "unsupported_extension", certificateRequired: "certificate_required",
	noApplicationProtocol: "no_application_protocol", 200: "an alert that nobody knows",
}
