package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// options are what the flags of the runner say about one connection.
type options struct {
	port            int
	ipv6            bool
	shimID          uint64
	server          bool
	resumeCount     int
	waitForDebugger bool

	// What is negotiated.
	minVersion, maxVersion int
	noTLS12, noTLS13       bool
	curves                 []uint16
	verifyPrefs            []uint16
	compliance             string
	hostName               string
	advertiseALPN          string
	selectALPN             string
	rejectALPN             bool
	noTicket               bool
	skipTicket             bool
	enableEarlyData        bool
	maxCertList            int
	maxSendFragment        int

	// Certificates, ours and the peer's.
	legacy               credential
	credentials          []*credential
	failEarly            bool
	failDDoS             bool
	failCert             bool
	verifyPeer           bool
	requireAny           bool
	verifyFail           bool
	failOCSP             bool
	declineOCSP          bool
	reverifyOnResume     bool
	useClientCAs         string
	customVerifyCallback bool

	// What is done with the connection.
	async                   bool
	shimWritesFirst         bool
	shimShutsDown           bool
	checkCloseNotify        bool
	readWithUnfinishedWrite bool
	peekThenRead            bool
	keyUpdate               bool
	keyUpdateBeforeRead     bool
	exportKeyingMaterial    int
	exportLabel             string
	exportContext           string
	useExportContext        bool
	exportTrafficSecrets    bool
	resumptionDelay         time.Duration

	expect expectations
}

// expectations are what has to be so once the handshake is complete.
type expectations struct {
	cipher             int
	cipherAES          int
	curve              int
	peerScheme         int
	peerVerifyPrefs    []uint16
	serverName         string
	alpn               string
	advertisedALPN     string
	extendedMainSecret bool
	hrr, noHRR         bool
	peerCertFile       string
	clientCAs          string
	ocspResponse       []byte
	scts               []byte
	verifyResult       bool
	selectedCredential *int

	noSession               bool
	sessionMiss             bool
	ticketRenewal           bool
	ticketSupportsEarlyData bool
	acceptEarlyData         bool
	rejectEarlyData         bool
	noOfferEarlyData        bool
	earlyDataReason         string
}

// credential is a certificate of ours.
type credential struct {
	certFile, keyFile string
	signingPrefs      []uint16
	ocspResponse      []byte
	scts              []byte
	mustMatchIssuer   bool
}

// current is the credential that flags are about.
func (o *options) current() *credential {
	if n := len(o.credentials); n > 0 {
		return o.credentials[n-1]
	}
	return &o.legacy
}

// script is what the flags say about all connections of a test: the first one,
// those that resume, and what is left of these when early data was rejected.
type script struct{ initial, resume, retry options }

// flag is what to do with a flag, and whether a parameter follows it.
type flag struct {
	set   func(o *options, param string) error
	param bool
}

func boolean(field func(*options) *bool) flag {
	return flag{func(o *options, _ string) error { *field(o) = true; return nil }, false}
}

func integer(field func(*options) *int) flag {
	return flag{func(o *options, param string) (err error) {
		*field(o), err = strconv.Atoi(param)
		return err
	}, true}
}

func text(field func(*options) *string) flag {
	return flag{func(o *options, param string) error { *field(o) = param; return nil }, true}
}

// chosen is a flag without a parameter that is one value of a field.
func chosen(value string, field func(*options) *string) flag {
	return flag{func(o *options, _ string) error { *field(o) = value; return nil }, false}
}

func base64Bytes(field func(*options) *[]byte) flag {
	return flag{func(o *options, param string) (err error) {
		*field(o), err = base64.StdEncoding.DecodeString(param)
		return err
	}, true}
}

// codes is a flag that may come again, for a list.
func codes(field func(*options) *[]uint16) flag {
	return flag{func(o *options, param string) error {
		n, err := strconv.ParseUint(param, 10, 16)
		*field(o) = append(*field(o), uint16(n))
		return err
	}, true}
}

// nothing is a flag that asks for what baretls does anyway, or of which the
// runner sees no more than the rest of the connection.
var nothing = flag{func(*options, string) error { return nil }, false}

// nothingWith is such a flag with a parameter.
var nothingWith = flag{nothing.set, true}

// flags are those that there is an answer to. All others are unimplemented.
var flags = map[string]flag{
	"-port": integer(func(o *options) *int { return &o.port }),
	"-ipv6": boolean(func(o *options) *bool { return &o.ipv6 }),
	"-shim-id": {func(o *options, param string) (err error) {
		o.shimID, err = strconv.ParseUint(param, 10, 64)
		return err
	}, true},
	"-server":            boolean(func(o *options) *bool { return &o.server }),
	"-resume-count":      integer(func(o *options) *int { return &o.resumeCount }),
	"-wait-for-debugger": boolean(func(o *options) *bool { return &o.waitForDebugger }),

	"-min-version": integer(func(o *options) *int { return &o.minVersion }),
	"-max-version": integer(func(o *options) *int { return &o.maxVersion }),
	"-no-tls1":     nothing, // never there
	"-no-tls11":    nothing,
	"-no-tls12":    boolean(func(o *options) *bool { return &o.noTLS12 }),
	"-no-tls13":    boolean(func(o *options) *bool { return &o.noTLS13 }),

	"-server-preference":             nothing, // always
	"-curves":                        codes(func(o *options) *[]uint16 { return &o.curves }),
	"-verify-prefs":                  codes(func(o *options) *[]uint16 { return &o.verifyPrefs }),
	"-fips-202205":                   chosen("fips-202205", func(o *options) *string { return &o.compliance }),
	"-wpa-202304":                    chosen("wpa-202304", func(o *options) *string { return &o.compliance }),
	"-cnsa-202407":                   chosen("cnsa-202407", func(o *options) *string { return &o.compliance }),
	"-cnsa1-202603":                  chosen("cnsa1-202603", func(o *options) *string { return &o.compliance }),
	"-host-name":                     text(func(o *options) *string { return &o.hostName }),
	"-advertise-alpn":                text(func(o *options) *string { return &o.advertiseALPN }),
	"-select-alpn":                   text(func(o *options) *string { return &o.selectALPN }),
	"-decline-alpn":                  nothing, // there is none to select
	"-reject-alpn":                   boolean(func(o *options) *bool { return &o.rejectALPN }),
	"-no-ticket":                     boolean(func(o *options) *bool { return &o.noTicket }),
	"-enable-early-data":             boolean(func(o *options) *bool { return &o.enableEarlyData }),
	"-max-cert-list":                 integer(func(o *options) *int { return &o.maxCertList }),
	"-max-send-fragment":             integer(func(o *options) *int { return &o.maxSendFragment }),
	"-enable-ocsp-stapling":          nothing, // always
	"-enable-signed-cert-timestamps": nothing,
	"-expect-no-session-id":          nothing,     // with tickets there are none
	"-expect-cipher-no-aes":          nothingWith, // what is chosen does not depend on the machine
	"-read-size":                     nothingWith, // data is read as records come
	"-skip-ticket":                   boolean(func(o *options) *bool { return &o.skipTicket }),
	"-use-ticket-callback":           nothing, // tickets are tickets
	"-use-ticket-aead-callback":      nothing,
	"-renew-ticket":                  nothing,
	"-expect-msg-callback":           nothingWith, // what messages there are, the runner sees
	"-false-start":                   nothing,     // it is a right, not a duty
	"-no-op-extra-handshake":         nothing,
	"-handshake-twice":               nothing,
	"-implicit-handshake":            nothing, // a handshake begins by itself
	"-write-settings":                nothingWith,

	"-cert-file":              text(func(o *options) *string { return &o.current().certFile }),
	"-key-file":               text(func(o *options) *string { return &o.current().keyFile }),
	"-signing-prefs":          codes(func(o *options) *[]uint16 { return &o.current().signingPrefs }),
	"-ocsp-response":          base64Bytes(func(o *options) *[]byte { return &o.current().ocspResponse }),
	"-signed-cert-timestamps": base64Bytes(func(o *options) *[]byte { return &o.current().scts }),
	"-must-match-issuer":      boolean(func(o *options) *bool { return &o.current().mustMatchIssuer }),
	"-new-x509-credential": {func(o *options, _ string) error {
		o.credentials = append(o.credentials, new(credential))
		return nil
	}, false},
	"-trust-cert":                     nothingWith, // the shim's verdicts are made to order
	"-use-early-callback":             nothing,
	"-use-old-client-cert-callback":   nothing,
	"-install-ddos-callback":          nothing,
	"-fail-early-callback":            boolean(func(o *options) *bool { return &o.failEarly }),
	"-fail-ddos-callback":             boolean(func(o *options) *bool { return &o.failDDoS }),
	"-fail-cert-callback":             boolean(func(o *options) *bool { return &o.failCert }),
	"-verify-peer":                    boolean(func(o *options) *bool { return &o.verifyPeer }),
	"-require-any-client-certificate": boolean(func(o *options) *bool { return &o.requireAny }),
	"-verify-fail":                    boolean(func(o *options) *bool { return &o.verifyFail }),
	"-use-custom-verify-callback":     boolean(func(o *options) *bool { return &o.customVerifyCallback }),
	"-use-ocsp-callback":              nothing,
	"-set-ocsp-in-callback":           nothing,
	"-decline-ocsp-callback":          boolean(func(o *options) *bool { return &o.declineOCSP }),
	"-fail-ocsp-callback":             boolean(func(o *options) *bool { return &o.failOCSP }),
	"-reverify-on-resume":             boolean(func(o *options) *bool { return &o.reverifyOnResume }),
	"-use-client-ca-list":             text(func(o *options) *string { return &o.useClientCAs }),

	"-async":                      boolean(func(o *options) *bool { return &o.async }),
	"-shim-writes-first":          boolean(func(o *options) *bool { return &o.shimWritesFirst }),
	"-shim-shuts-down":            boolean(func(o *options) *bool { return &o.shimShutsDown }),
	"-check-close-notify":         boolean(func(o *options) *bool { return &o.checkCloseNotify }),
	"-read-with-unfinished-write": boolean(func(o *options) *bool { return &o.readWithUnfinishedWrite }),
	"-peek-then-read":             boolean(func(o *options) *bool { return &o.peekThenRead }),
	"-key-update":                 boolean(func(o *options) *bool { return &o.keyUpdate }),
	"-key-update-before-read":     boolean(func(o *options) *bool { return &o.keyUpdateBeforeRead }),
	"-export-keying-material":     integer(func(o *options) *int { return &o.exportKeyingMaterial }),
	"-export-label":               text(func(o *options) *string { return &o.exportLabel }),
	"-export-context":             text(func(o *options) *string { return &o.exportContext }),
	"-use-export-context":         boolean(func(o *options) *bool { return &o.useExportContext }),
	"-export-traffic-secrets":     boolean(func(o *options) *bool { return &o.exportTrafficSecrets }),
	"-resumption-delay": {func(o *options, param string) error {
		seconds, err := strconv.Atoi(param)
		o.resumptionDelay = time.Duration(seconds) * time.Second
		return err
	}, true},

	"-expect-cipher":                     integer(func(o *options) *int { return &o.expect.cipher }),
	"-expect-cipher-aes":                 integer(func(o *options) *int { return &o.expect.cipherAES }),
	"-expect-curve-id":                   integer(func(o *options) *int { return &o.expect.curve }),
	"-expect-peer-signature-algorithm":   integer(func(o *options) *int { return &o.expect.peerScheme }),
	"-expect-peer-verify-pref":           codes(func(o *options) *[]uint16 { return &o.expect.peerVerifyPrefs }),
	"-expect-server-name":                text(func(o *options) *string { return &o.expect.serverName }),
	"-expect-alpn":                       text(func(o *options) *string { return &o.expect.alpn }),
	"-expect-advertised-alpn":            text(func(o *options) *string { return &o.expect.advertisedALPN }),
	"-expect-extended-master-secret":     boolean(func(o *options) *bool { return &o.expect.extendedMainSecret }),
	"-expect-hrr":                        boolean(func(o *options) *bool { return &o.expect.hrr }),
	"-expect-no-hrr":                     boolean(func(o *options) *bool { return &o.expect.noHRR }),
	"-expect-peer-cert-file":             text(func(o *options) *string { return &o.expect.peerCertFile }),
	"-expect-client-ca-list":             text(func(o *options) *string { return &o.expect.clientCAs }),
	"-expect-ocsp-response":              base64Bytes(func(o *options) *[]byte { return &o.expect.ocspResponse }),
	"-expect-signed-cert-timestamps":     base64Bytes(func(o *options) *[]byte { return &o.expect.scts }),
	"-expect-verify-result":              boolean(func(o *options) *bool { return &o.expect.verifyResult }),
	"-expect-no-session":                 boolean(func(o *options) *bool { return &o.expect.noSession }),
	"-expect-session-miss":               boolean(func(o *options) *bool { return &o.expect.sessionMiss }),
	"-expect-ticket-renewal":             boolean(func(o *options) *bool { return &o.expect.ticketRenewal }),
	"-expect-ticket-supports-early-data": boolean(func(o *options) *bool { return &o.expect.ticketSupportsEarlyData }),
	"-expect-accept-early-data":          boolean(func(o *options) *bool { return &o.expect.acceptEarlyData }),
	"-expect-reject-early-data":          boolean(func(o *options) *bool { return &o.expect.rejectEarlyData }),
	"-expect-no-offer-early-data":        boolean(func(o *options) *bool { return &o.expect.noOfferEarlyData }),
	"-expect-early-data-reason":          text(func(o *options) *string { return &o.expect.earlyDataReason }),
	"-expect-selected-credential": {func(o *options, param string) error {
		n, err := strconv.Atoi(param)
		o.expect.selectedCredential = &n
		return err
	}, true},
}

// parse reads the command line.
func parse(args []string) (*script, error) {
	s := new(script)
	all := []*options{&s.initial, &s.resume, &s.retry}
	for i := 0; i < len(args); i++ {
		name, about, skip := strings.TrimPrefix(args[i], "-on-shim"), all, false
		if rest, ok := strings.CutPrefix(name, "-on-handshaker-"); ok {
			name, skip = "-"+rest, true
		}
		for n, prefix := range []string{"-on-initial-", "-on-resume-", "-on-retry-"} {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				name, about = "-"+rest, all[n:n+1]
			}
		}
		f, ok := flags[name]
		if !ok {
			return nil, fmt.Errorf("flag %s: %w", name, errUnimplemented)
		}
		param := ""
		if f.param {
			if i++; i == len(args) {
				return nil, fmt.Errorf("flag %s needs a parameter", name)
			}
			param = args[i]
		}
		for _, o := range about {
			if skip {
				break
			}
			if err := f.set(o, param); err != nil {
				return nil, fmt.Errorf("flag %s: %w", name, err)
			}
		}
	}
	return s, nil
}

// protocols splits a list of ALPN in the form that it has on the wire.
func protocols(wire string) (names []string) {
	for len(wire) > 0 {
		n := min(1+int(wire[0]), len(wire))
		names = append(names, wire[1:n])
		wire = wire[n:]
	}
	return names
}

// hexList splits a list of hexadecimal strings.
func hexList(list string) (values [][]byte, err error) {
	for item := range strings.SplitSeq(list, ",") {
		value, err := hex.DecodeString(item)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}
