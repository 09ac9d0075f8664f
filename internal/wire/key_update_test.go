package wire

import (
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

func TestTheValuesOfKeyUpdate(t *testing.T) {
	for i := range 256 {
		var m KeyUpdate
		err := m.Parse([]byte{byte(i)})
		if i > 1 {
			expect(t, err, fault.IllegalParameter, "a KeyUpdate with request_update %d", i)
		} else if err != nil || m.UpdateRequested != (i == 1) {
			t.Errorf("request_update %d gives %+v, %v", i, m, err)
		}
	}
	var m KeyUpdate
	expect(t, m.Parse([]byte{2, 0}), fault.Undecodable, "a KeyUpdate of two bytes")
	expect(t, m.Parse(nil), fault.Undecodable, "an empty KeyUpdate")
}
