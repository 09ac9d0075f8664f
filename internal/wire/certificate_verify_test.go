package wire

import "testing"

func TestACertificateVerifyIsReadWhole(t *testing.T) {
	body, _ := assemble(t, `0804 2[ 'signature' ]`)
	var m CertificateVerify
	if err := m.Parse(body); err != nil || m.Algorithm != 0x0804 || string(m.Signature) != "signature" {
		t.Errorf("the message is not what was sent: %+v, %v", m, err)
	}
	body, _ = assemble(t, `0403 2[ ]`)
	if err := m.Parse(body); err != nil || len(m.Signature) != 0 {
		t.Errorf("an empty signature has a form, and fails only when it is verified: %+v, %v", m, err)
	}
}
