package record

import (
	"bytes"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/tlstest/rfc8448"
)

// protected lists the protected records of each trace, by the keys that they
// have in common and in their order, and with their types.
var protected = map[string]map[string][]string{
	rfc8448.Simple1RTT: {
		"server_handshake":   {"server_flight handshake"},
		"client_handshake":   {"client_finished handshake"},
		"client_application": {"client_data application_data", "client_alert alert"},
		"server_application": {"new_session_ticket handshake", "server_data application_data", "server_alert alert"},
	},
	rfc8448.Resumed0RTT: {
		"client_early":       {"client_early_data application_data", "end_of_early_data handshake"},
		"server_handshake":   {"server_flight handshake"},
		"client_handshake":   {"client_finished handshake"},
		"client_application": {"client_data application_data", "client_alert alert"},
		"server_application": {"server_data application_data", "server_alert alert"},
	},
	rfc8448.HelloRetryRequest: {
		"server_handshake":   {"server_flight handshake"},
		"client_handshake":   {"client_finished handshake"},
		"client_application": {"client_alert alert"},
		"server_application": {"server_alert alert"},
	},
	rfc8448.ClientAuth: {
		"server_handshake":   {"server_flight handshake"},
		"client_handshake":   {"client_flight handshake"},
		"client_application": {"client_alert alert"},
		"server_application": {"server_alert alert"},
	},
	rfc8448.CompatibilityMode: {
		"server_handshake":   {"server_flight handshake"},
		"client_handshake":   {"client_finished handshake"},
		"client_application": {"client_alert alert"},
		"server_application": {"server_alert alert"},
	},
}

// Every protected record of RFC 8448 opens to its payload, and is sealed again
// to the very same bytes.
func TestTheRecordsOfRFC8448(t *testing.T) {
	for name, directions := range protected {
		trace, err := rfc8448.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for key, value := range trace {
			if strings.HasSuffix(key, "_record") && value[0] == byte(ApplicationData) {
				left++
			}
		}
		for prefix, records := range directions {
			k := &Keys{AEAD: aesGCM(t, trace.Bytes(prefix+"_key")), Limit: 1 << 24}
			copy(k.IV[:], trace.Bytes(prefix+"_iv"))
			r := openingWith(t, k)
			w := newWriter(MaxPlaintext, 1)
			w.SetKeys(k)
			for _, line := range records {
				left--
				key, want, _ := strings.Cut(line, " ")
				payload, ok := trace[key+"_payload"]
				if !ok {
					payload = trace.Bytes(key)
				}
				rec := trace.Bytes(key + "_record")
				if h, ok := ParseHeader(rec, true); !ok || h.Length != len(rec)-HeaderLen {
					t.Errorf("%s: the header of %s is read as %+v, %t", name, key, h, ok)
				}
				typ, content, err := r.Open(bytes.Clone(rec))
				if err != nil || typ.String() != want || !bytes.Equal(content, payload) {
					t.Errorf("%s: %s opens to %v %x, %v", name, key, typ, content, err)
				}
				if got := sealed(w, typ, payload); !bytes.Equal(got, rec) {
					t.Errorf("%s: %s is sealed to %x, want %x", name, key, got, rec)
				}
			}
		}
		if left != 0 {
			t.Errorf("%s: %d protected records are not in the table", name, left)
		}
	}
}
