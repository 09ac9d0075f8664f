package fault

import (
	"crypto/tls"
	"errors"
	"fmt"
	"testing"
)

// elsewhere is the error of another connection.
type elsewhere struct{}

func (elsewhere) Error() string                 { return "elsewhere" }
func (elsewhere) Alert() (tls.AlertError, bool) { return 44, true }
func (elsewhere) Unwrap() error                 { return tls.AlertError(44) }

// An error of the application chooses the alert where it can be found by
// unwrapping, and ends a connection.
func TestErrorsOfTheApplicationChooseTheAlert(t *testing.T) {
	revoked := tls.AlertError(44)
	for _, row := range []struct {
		story string
		err   error
		want  Alert
	}{
		{"no alert", errors.New("no"), BadCertificateAlert},
		{"an alert", revoked, 44},
		{"an alert that nobody knows", tls.AlertError(200), 200},
		{"a wrapped alert", fmt.Errorf("revoked: %w", fmt.Errorf("twice: %w", revoked)), 44},
		{"an alert among others", errors.Join(errors.New("no"), revoked, tls.AlertError(80)), 44},
		{"close_notify", tls.AlertError(0), BadCertificateAlert},
		{"user_canceled", tls.AlertError(90), BadCertificateAlert},
		{"no_renegotiation", tls.AlertError(100), BadCertificateAlert},
		{"close_notify and another", errors.Join(tls.AlertError(0), revoked), 44},
		{"the error of another connection", elsewhere{}, BadCertificateAlert},
		{"that, wrapped", errors.Join(errors.New("no"), fmt.Errorf("no: %w", elsewhere{})), BadCertificateAlert},
		{"that, and an alert beside it", errors.Join(elsewhere{}, revoked), 44},
		{"an error with nothing underneath", fmt.Errorf("no %w", error(nil)), BadCertificateAlert},
	} {
		err := CertificateRefused.By(row.err)
		if got := AlertOf(err); got != row.want {
			t.Errorf("%s leads to alert %d, want %d", row.story, got, row.want)
		}
		if !errors.Is(err, row.err) || Of(err) != CertificateRefused {
			t.Errorf("%s is not the cause in %v", row.story, err)
		}
	}
	// What is not said by the application chooses nothing.
	if got := AlertOf(Internal.Because(revoked)); got != InternalError {
		t.Errorf("an error of somebody else chooses alert %d", got)
	}
}
