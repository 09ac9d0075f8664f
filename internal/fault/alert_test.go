package fault

import "testing"

// Closure alerts, and TLS 1.2's no_renegotiation, have the level of a warning:
// RFC 9846, Section 6.1, and RFC 5246, Section 7.2.2. All others "MUST be sent
// with AlertLevel=fatal" (RFC 9846, Section 6).
func TestLevelsOfAlerts(t *testing.T) {
	warnings := map[Alert]bool{0: true, 90: true, 100: true}
	for i := range 256 {
		alert, want := Alert(i), byte(2)
		if warnings[alert] {
			want = 1
		}
		if got := alert.Level(); got != want {
			t.Errorf("alert %d is sent with level %d, want %d", i, got, want)
		}
	}
}
