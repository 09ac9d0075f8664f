package wire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

const fullCertificate = `1[ 'context' ] 3[
	3[ aa*700 ] 2[
		0005 2[ 01 3[ 'response' ] ]
		0012 2[ 2[ 2[ 'sct1' ] 2[ 'another' ] ] ]
	]
	3[ bb*600 ] 2[ ]
]`

func TestACertificateIsReadWhole(t *testing.T) {
	body, _ := assemble(t, fullCertificate)
	var m Certificate
	if err := m.Parse(body, Extensions(ExtStatusRequest, ExtSCT)); err != nil {
		t.Fatal(err)
	}
	var entries []CertificateEntry
	for e := range m.Entries() {
		entries = append(entries, e)
	}
	if string(m.Context) != "context" || len(entries) != 2 || m.Len() != 2 {
		t.Fatalf("the chain is not what was sent: %q, %d entries", m.Context, len(entries))
	}
	first, second := entries[0], entries[1]
	if len(first.Data) != 700 || string(first.OCSPResponse) != "response" ||
		!slices.EqualFunc(SplitSCTs(first.SCTs), []string{"sct1", "another"}, func(b []byte, s string) bool { return string(b) == s }) {
		t.Errorf("the first entry is not what was sent: %+v", first)
	}
	if len(second.Data) != 600 || second.OCSPResponse != nil || second.SCTs != nil || SplitSCTs(second.SCTs) != nil {
		t.Errorf("the second entry is not what was sent: %+v", second)
	}
	for e := range m.Entries() {
		if !bytes.Equal(e.Data, first.Data) {
			t.Error("a loop that stops does not begin with the first entry")
		}
		break
	}
	for _, e := range []Extension{ExtStatusRequest, ExtSCT} {
		expect(t, m.Parse(body, everything.Without(e)), fault.UnsolicitedExtension, "%s that was not asked for", e)
		if m.Len() != 0 {
			t.Error("a chain that was refused still has entries")
		}
	}
}

func TestEntriesOfACertificate(t *testing.T) {
	const accepted = fault.Internal
	for _, row := range []struct {
		story, entry string
		want         fault.Reason
	}{
		{"an empty certificate", `3[ ] 2[ ]`, fault.Undecodable},
		{"no extensions block", `3[ aa ]`, fault.Undecodable},
		{"half a certificate", `000010 aaaa`, fault.Undecodable},
		{"status_request of a client", `3[ aa ] 2[ 0005 2[ 01 2[ ] 2[ ] ] ]`, fault.Undecodable},
		{"an empty status_request", `3[ aa ] 2[ 0005 2[ ] ]`, fault.Undecodable},
		{"a status of another type", `3[ aa ] 2[ 0005 2[ 02 3[ 'r' ] ] ]`, fault.Undecodable},
		{"an empty response", `3[ aa ] 2[ 0005 2[ 01 3[ ] ] ]`, fault.Undecodable},
		{"a byte behind the response", `3[ aa ] 2[ 0005 2[ 01 3[ 'r' ] 00 ] ]`, fault.Undecodable},
		{"no SCTs", `3[ aa ] 2[ 0012 2[ 2[ ] ] ]`, fault.Undecodable},
		{"an empty SCT", `3[ aa ] 2[ 0012 2[ 2[ 2[ 's' ] 2[ ] ] ] ]`, fault.Undecodable},
		{"half an SCT", `3[ aa ] 2[ 0012 2[ 2[ 0005 aa ] ] ]`, fault.Undecodable},
		{"a byte behind the SCTs", `3[ aa ] 2[ 0012 2[ 2[ 2[ 's' ] ] 00 ] ]`, fault.Undecodable},
		{"delegated_credential, which is not ours", `3[ aa ] 2[ 0022 2[ 'any' ] ]`, accepted},
		{"early_data", `3[ aa ] 2[ 002a 2[ ] ]`, fault.MisplacedExtension},
		{"an unknown extension", `3[ aa ] 2[ 0a0a 2[ ] ]`, fault.UnsolicitedExtension},
		{"status_request twice", `3[ aa ] 2[ 0005 2[ 01 3[ 'r' ] ] 0005 2[ 01 3[ 'r' ] ] ]`, fault.DuplicateExtension},
		{"status_request, as the entry before", `3[ aa ] 2[ 0005 2[ 01 3[ 'r' ] ] ]`, accepted},
	} {
		// The rules hold for every entry, not just for the first.
		body, _ := assemble(t, `1[ ] 3[ 3[ aa ] 2[ 0005 2[ 01 3[ 'r' ] ] ] `+row.entry+` ]`)
		var m Certificate
		err := m.Parse(body, everything)
		if row.want != accepted {
			expect(t, err, row.want, "an entry with %s", row.story)
		} else if err != nil {
			t.Errorf("an entry with %s is refused: %v", row.story, err)
		}
	}
}

func TestWhatIsStapledStandsAtTheFirstEntry(t *testing.T) {
	chain := [][]byte{{1}, {2}, {3}}
	for _, row := range []struct {
		ocsp []byte
		scts [][]byte
		has  string
	}{
		{nil, nil, ``},
		{[]byte("o"), nil, `0005 2[ 01 3[ 'o' ] ]`},
		{nil, [][]byte{[]byte("s")}, `0012 2[ 2[ 2[ 's' ] ] ]`},
		{[]byte{}, [][]byte{}, ``},
	} {
		want, _ := assemble(t, `0b 3[ 1[ ] 3[ 3[ 01 ] 2[ `+row.has+` ] 3[ 02 ] 2[ ] 3[ 03 ] 2[ ] ] ]`)
		if got := AppendCertificate(nil, nil, chain, row.ocsp, row.scts); !bytes.Equal(got, want) {
			t.Errorf("with response %q and SCTs %q the message is\n%x, want\n%x", row.ocsp, row.scts, got, want)
		}
	}
	if AppendCertificate(nil, nil, chain, make([]byte, 0x10000), nil) != nil {
		t.Error("a response that makes the block too long must give nil")
	}
}
