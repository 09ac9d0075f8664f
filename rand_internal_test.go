package baretls

import (
	"crypto/rand"
	"io"
	"testing"
)

// A configuration that does not say otherwise has the system's randomness: RFC
// 9846, Appendix C.1.
func TestRandIsTheSystems(t *testing.T) {
	client, err := new(ClientConfig).compile()
	if err != nil {
		t.Fatal(err)
	}
	server, err := (&ServerConfig{Ask: AskClientHello}).compile()
	if err != nil {
		t.Fatal(err)
	}
	for role, source := range map[string]io.Reader{"client": client.Rand, "server": server.Rand} {
		if source != rand.Reader {
			t.Errorf("a %s's randomness comes from %T, want crypto/rand's Reader", role, source)
		}
	}
}
