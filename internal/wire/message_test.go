package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/fault"
)

// sample is a message in the notation of assemble, in the very form in which
// Append writes it, so that it tests both directions.
type sample struct {
	name  string
	typ   MessageType
	body  string
	parse func(body []byte) (appender, error)
}

type appender interface{ Append([]byte) []byte }

var everything = ^ExtensionSet(0)

func parseClientHello(body []byte) (appender, error) {
	m := new(ClientHello)
	return m, m.Parse(body)
}

func parseServerHello(body []byte) (appender, error) {
	m := new(ServerHello)
	return m, m.Parse(body, everything)
}

func parseEncryptedExtensions(body []byte) (appender, error) {
	m := new(EncryptedExtensions)
	return m, m.Parse(body, everything)
}

func parseCertificateRequest(body []byte) (appender, error) {
	m := new(CertificateRequest)
	return m, m.Parse(body)
}

func parseCertificate(body []byte) (appender, error) {
	m := new(chain)
	return m, m.Parse(body, everything)
}

func parseCertificateVerify(body []byte) (appender, error) {
	m := new(CertificateVerify)
	return m, m.Parse(body)
}

func parseFinished(body []byte) (appender, error) {
	m := new(Finished)
	return m, m.Parse(body)
}

func parseEndOfEarlyData(body []byte) (appender, error) {
	m := new(EndOfEarlyData)
	return m, m.Parse(body)
}

func parseNewSessionTicket(body []byte) (appender, error) {
	m := new(NewSessionTicket)
	return m, m.Parse(body)
}

func parseKeyUpdate(body []byte) (appender, error) {
	m := new(KeyUpdate)
	return m, m.Parse(body)
}

func parseCertificate12(body []byte) (appender, error) {
	m := new(chain12)
	return m, m.Parse(body)
}

func parseCertificateStatus(body []byte) (appender, error) {
	m := new(CertificateStatus)
	return m, m.Parse(body)
}

func parseServerKeyExchange(body []byte) (appender, error) {
	m := new(ServerKeyExchange)
	return m, m.Parse(body)
}

func parseClientKeyExchange(body []byte) (appender, error) {
	m := new(ClientKeyExchange)
	return m, m.Parse(body)
}

func parseCertificateRequest12(body []byte) (appender, error) {
	m := new(CertificateRequest12)
	return m, m.Parse(body)
}

func parseNewSessionTicket12(body []byte) (appender, error) {
	m := new(NewSessionTicket12)
	return m, m.Parse(body)
}

func parseServerHelloDone(body []byte) (appender, error) {
	return emptyMessage(TypeServerHelloDone), ParseEmpty(TypeServerHelloDone, body)
}

func parseHelloRequest(body []byte) (appender, error) {
	return emptyMessage(TypeHelloRequest), ParseEmpty(TypeHelloRequest, body)
}

// emptyMessage gives a message without a body the Append of the others.
type emptyMessage MessageType

func (m emptyMessage) Append(b []byte) []byte { return AppendEmpty(b, MessageType(m)) }

// chain12 does for Certificate12 what chain does for Certificate.
type chain12 struct{ Certificate12 }

func (c *chain12) Append(b []byte) []byte {
	var certs [][]byte
	for e := range c.Entries() {
		certs = append(certs, e.Data)
	}
	return AppendCertificate12(b, certs)
}

// chain gives Certificate the Append that its entries make.
type chain struct{ Certificate }

func (c *chain) Append(b []byte) []byte {
	var certs, scts [][]byte
	var ocsp []byte
	for e := range c.Entries() {
		if len(certs) == 0 {
			ocsp, scts = e.OCSPResponse, SplitSCTs(e.SCTs)
		}
		certs = append(certs, e.Data)
	}
	return AppendCertificate(b, c.Context, certs, ocsp, scts)
}

// samples has every message with everything in it, and its smallest form.
var samples = []sample{
	{"ClientHello with everything", TypeClientHello, fullClientHello, parseClientHello},
	{"ClientHello without extensions", TypeClientHello, `0303 random 1[ ] 2[ 002f ] 1[ 00 ]`, parseClientHello},
	{"ServerHello", TypeServerHello, fullServerHello, parseServerHello},
	{"ServerHello without extensions", TypeServerHello, `0303 random 1[ ] c02f 00`, parseServerHello},
	{"HelloRetryRequest", TypeServerHello, fullRetry, parseServerHello},
	{"EncryptedExtensions", TypeEncryptedExtensions, fullEncryptedExtensions, parseEncryptedExtensions},
	{"empty EncryptedExtensions", TypeEncryptedExtensions, `2[ ]`, parseEncryptedExtensions},
	{"CertificateRequest", TypeCertificateRequest, fullCertificateRequest, parseCertificateRequest},
	{"small CertificateRequest", TypeCertificateRequest, `1[ ] 2[ 000d 2[ 2[ 0403 ] ] ]`, parseCertificateRequest},
	{"Certificate", TypeCertificate, fullCertificate, parseCertificate},
	{"empty Certificate", TypeCertificate, `1[ ] 3[ ]`, parseCertificate},
	{"CertificateVerify", TypeCertificateVerify, `0804 2[ aa*256 ]`, parseCertificateVerify},
	{"Finished", TypeFinished, `bb*48`, parseFinished},
	{"EndOfEarlyData", TypeEndOfEarlyData, ``, parseEndOfEarlyData},
	{"NewSessionTicket", TypeNewSessionTicket, fullNewSessionTicket, parseNewSessionTicket},
	{"small NewSessionTicket", TypeNewSessionTicket, `00000000 00000000 1[ ] 2[ 01 ] 2[ ]`, parseNewSessionTicket},
	{"KeyUpdate", TypeKeyUpdate, `00`, parseKeyUpdate},
	{"KeyUpdate with a request", TypeKeyUpdate, `01`, parseKeyUpdate},

	{"ServerHello of TLS 1.2", TypeServerHello, fullServerHello12, parseServerHello},
	{"Certificate of TLS 1.2", TypeCertificate, fullCertificate12, parseCertificate12},
	{"empty Certificate of TLS 1.2", TypeCertificate, `3[ ]`, parseCertificate12},
	{"CertificateStatus", TypeCertificateStatus, `01 3[ 'response' ]`, parseCertificateStatus},
	{"ServerKeyExchange", TypeServerKeyExchange, fullServerKeyExchange, parseServerKeyExchange},
	{"small ServerKeyExchange", TypeServerKeyExchange, `03 0017 1[ 04 ] 0403 2[ ]`, parseServerKeyExchange},
	{"ClientKeyExchange", TypeClientKeyExchange, `1[ 04 bb*64 ]`, parseClientKeyExchange},
	{"CertificateRequest of TLS 1.2", TypeCertificateRequest, fullCertificateRequest12, parseCertificateRequest12},
	{"small CertificateRequest of TLS 1.2", TypeCertificateRequest, `1[ 40 ] 2[ 0403 ] 2[ ]`, parseCertificateRequest12},
	{"NewSessionTicket of TLS 1.2", TypeNewSessionTicket, `00001c20 2[ 'ticket' ]`, parseNewSessionTicket12},
	{"empty NewSessionTicket of TLS 1.2", TypeNewSessionTicket, `00000000 2[ ]`, parseNewSessionTicket12},
	{"ServerHelloDone", TypeServerHelloDone, ``, parseServerHelloDone},
	{"HelloRequest", TypeHelloRequest, ``, parseHelloRequest},
}

func TestEveryMessageMakesTheRoundTrip(t *testing.T) {
	for _, s := range samples {
		body, _ := assemble(t, s.body)
		m, err := s.parse(body)
		if err != nil {
			t.Errorf("%s is refused: %v", s.name, err)
			continue
		}
		want := append(Begin(nil, s.typ), body...)
		want = End(want, 0)
		if got := m.Append(nil); !bytes.Equal(got, want) {
			t.Errorf("%s is not written as it was read:\ngot  %x\nwant %x", s.name, got, want)
		}
		before := []byte("what was sent before")
		if got := m.Append(bytes.Clone(before)); !bytes.Equal(got, append(before, want...)) {
			t.Errorf("%s is not appended behind what is there already: %x", s.name, got)
		}
	}
}

func TestEveryTruncationIsUndecodable(t *testing.T) {
	// Where a shorter body is another whole message.
	whole := map[string]int{
		"ClientHello with everything": 2 + 32 + 33 + 6 + 2,
		"ServerHello":                 2 + 32 + 33 + 2 + 1,
		"HelloRetryRequest":           2 + 32 + 33 + 2 + 1,
		"ServerHello of TLS 1.2":      2 + 32 + 33 + 2 + 1,
	}
	for _, s := range samples {
		if s.typ == TypeFinished {
			continue // its length is the caller's to check
		}
		body, _ := assemble(t, s.body)
		for n := range body {
			_, err := s.parse(body[:n])
			if n == whole[s.name] && n > 0 {
				if err != nil {
					t.Errorf("%s is refused if it ends before the extensions: %v", s.name, err)
				}
				continue
			}
			expect(t, err, fault.Undecodable, "%s cut to %d of %d bytes", s.name, n, len(body))
		}
	}
}

func TestTrailingBytesAreUndecodable(t *testing.T) {
	for _, s := range samples {
		if s.typ == TypeFinished {
			continue
		}
		body, _ := assemble(t, s.body)
		_, err := s.parse(append(body, 0))
		expect(t, err, fault.Undecodable, "%s with a byte behind it", s.name)
	}
}

func TestNoLengthMayBeOffByOne(t *testing.T) {
	for _, s := range samples {
		body, lengths := assemble(t, s.body)
		for _, at := range lengths {
			for _, by := range []int{+1, -1} {
				if by < 0 && body[at] == 0 || by > 0 && body[at] == 0xff {
					continue // another byte of the length would have to change too
				}
				wrong := bytes.Clone(body)
				wrong[at] += byte(by)
				if _, err := s.parse(wrong); err == nil {
					t.Errorf("%s is accepted with the length at %d off by %+d", s.name, at, by)
				} else if fault.Of(err) == fault.Internal {
					t.Errorf("%s with the length at %d off by %+d is called our own fault: %v", s.name, at, by, err)
				}
			}
		}
	}
}

func TestNothingOfTheLastMessageStaysBehind(t *testing.T) {
	read := func(text string, parse func([]byte) error) {
		t.Helper()
		body, _ := assemble(t, text)
		if err := parse(body); err != nil {
			t.Fatalf("cannot read %q: %v", text, err)
		}
	}
	check := func(reused, fresh any) {
		t.Helper()
		if !reflect.DeepEqual(reused, fresh) {
			t.Errorf("Parse into a used struct is not as into a new one:\ngot  %+v\nwant %+v", reused, fresh)
		}
	}
	const hello = `0303 random 1[ ] 2[ 002f ] 1[ 00 ]`
	var ch [2]ClientHello
	read(fullClientHello, ch[0].Parse)
	read(hello, ch[0].Parse)
	read(hello, ch[1].Parse)
	check(ch[0], ch[1])

	var sh [2]ServerHello
	parse := func(m *ServerHello) func([]byte) error {
		return func(body []byte) error { return m.Parse(body, everything) }
	}
	read(fullServerHello, parse(&sh[0]))
	read(`0303 random 1[ ] c02f 00`, parse(&sh[0]))
	read(`0303 random 1[ ] c02f 00`, parse(&sh[1]))
	check(sh[0], sh[1])
	read(fullServerHello12, parse(&sh[0]))
	read(`0303 random 1[ ] c02f 00`, parse(&sh[0]))
	check(sh[0], sh[1])

	var ee [2]EncryptedExtensions
	parseEE := func(m *EncryptedExtensions) func([]byte) error {
		return func(body []byte) error { return m.Parse(body, everything) }
	}
	read(fullEncryptedExtensions, parseEE(&ee[0]))
	read(`2[ ]`, parseEE(&ee[0]))
	read(`2[ ]`, parseEE(&ee[1]))
	check(ee[0], ee[1])

	var cr [2]CertificateRequest
	read(fullCertificateRequest, cr[0].Parse)
	read(`1[ ] 2[ 000d 2[ 2[ 0403 ] ] ]`, cr[0].Parse)
	read(`1[ ] 2[ 000d 2[ 2[ 0403 ] ] ]`, cr[1].Parse)
	check(cr[0], cr[1])

	var ct [2]Certificate
	parseCT := func(m *Certificate) func([]byte) error {
		return func(body []byte) error { return m.Parse(body, everything) }
	}
	read(fullCertificate, parseCT(&ct[0]))
	read(`1[ ] 3[ ]`, parseCT(&ct[0]))
	read(`1[ ] 3[ ]`, parseCT(&ct[1]))
	check(ct[0], ct[1])

	var nst [2]NewSessionTicket
	read(fullNewSessionTicket, nst[0].Parse)
	read(`00000000 00000000 1[ ] 2[ 01 ] 2[ ]`, nst[0].Parse)
	read(`00000000 00000000 1[ ] 2[ 01 ] 2[ ]`, nst[1].Parse)
	check(nst[0], nst[1])

	var ku KeyUpdate
	read(`01`, ku.Parse)
	read(`00`, ku.Parse)
	check(ku, KeyUpdate{})

	var cv [2]CertificateVerify
	read(`0804 2[ aa ]`, cv[0].Parse)
	read(`0403 2[ ]`, cv[0].Parse)
	read(`0403 2[ ]`, cv[1].Parse)
	check(cv[0], cv[1])

	var ct12 [2]Certificate12
	read(fullCertificate12, ct12[0].Parse)
	read(`3[ ]`, ct12[0].Parse)
	read(`3[ ]`, ct12[1].Parse)
	check(ct12[0], ct12[1])

	var ske [2]ServerKeyExchange
	read(fullServerKeyExchange, ske[0].Parse)
	read(`03 0017 1[ 04 ] 0403 2[ ]`, ske[0].Parse)
	read(`03 0017 1[ 04 ] 0403 2[ ]`, ske[1].Parse)
	check(ske[0], ske[1])

	var cr12 [2]CertificateRequest12
	read(fullCertificateRequest12, cr12[0].Parse)
	read(`1[ 40 ] 2[ 0403 ] 2[ ]`, cr12[0].Parse)
	read(`1[ 40 ] 2[ 0403 ] 2[ ]`, cr12[1].Parse)
	check(cr12[0], cr12[1])

	var nst12 [2]NewSessionTicket12
	read(`00001c20 2[ 'ticket' ]`, nst12[0].Parse)
	read(`00000000 2[ ]`, nst12[0].Parse)
	read(`00000000 2[ ]`, nst12[1].Parse)
	check(nst12[0], nst12[1])

	var status CertificateStatus
	read(`01 3[ 'response' ]`, status.Parse)
	read(`01 3[ 'r' ]`, status.Parse)
	check(status, CertificateStatus{OCSPResponse: []byte("r")})

	var cke ClientKeyExchange
	read(`1[ bb*32 ]`, cke.Parse)
	read(`1[ aa ]`, cke.Parse)
	check(cke, ClientKeyExchange{Public: []byte{0xaa}})

	var fin Finished
	read(`aa*32`, fin.Parse)
	read(`bb*48`, fin.Parse)
	check(fin, Finished{VerifyData: bytes.Repeat([]byte{0xbb}, 48)})
}

func TestParsingAllocatesNothing(t *testing.T) {
	body := func(text string) []byte {
		b, _ := assemble(t, text)
		return b
	}
	var (
		hello, serverHello, retry = body(fullClientHello), body(fullServerHello), body(fullRetry)
		encrypted, request        = body(fullEncryptedExtensions), body(fullCertificateRequest)
		certs, ticket             = body(fullCertificate), body(fullNewSessionTicket)
		ch                        ClientHello
		sh                        ServerHello
		ee                        EncryptedExtensions
		cr                        CertificateRequest
		ct                        Certificate
		nst                       NewSessionTicket
		buf                       = make([]byte, 0, 4096)

		serverHello12, certs12 = body(fullServerHello12), body(fullCertificate12)
		exchange, request12    = body(fullServerKeyExchange), body(fullCertificateRequest12)
		status, public         = body(`01 3[ 'response' ]`), body(`1[ 04 bb*64 ]`)
		ticket12               = body(`00001c20 2[ 'ticket' ]`)
		sh12                   ServerHello
		ct12                   Certificate12
		cs                     CertificateStatus
		ske                    ServerKeyExchange
		cke                    ClientKeyExchange
		cr12                   CertificateRequest12
		nst12                  NewSessionTicket12
		chain                  = [][]byte{{1}, {2}}
	)
	var sum int // keeps the loops from being optimized away
	for name, run := range map[string]func() error{
		"ClientHello.Parse":         func() error { return ch.Parse(hello) },
		"ServerHello.Parse":         func() error { return sh.Parse(serverHello, everything) },
		"a retry's Parse":           func() error { return sh.Parse(retry, everything) },
		"EncryptedExtensions.Parse": func() error { return ee.Parse(encrypted, everything) },
		"CertificateRequest.Parse":  func() error { return cr.Parse(request) },
		"NewSessionTicket.Parse":    func() error { return nst.Parse(ticket) },
		"Certificate.Parse and Entries": func() error {
			err := ct.Parse(certs, everything)
			for e := range ct.Entries() {
				sum += len(e.Data) + len(e.SCTs)
			}
			return err
		},
		"ServerHello.Parse of TLS 1.2": func() error { return sh12.Parse(serverHello12, everything) },
		"the Parse of the messages of TLS 1.2": func() error {
			return errors.Join(cs.Parse(status), ske.Parse(exchange), cke.Parse(public), cr12.Parse(request12),
				nst12.Parse(ticket12), ParseEmpty(TypeServerHelloDone, nil))
		},
		"Certificate12.Parse and Entries": func() error {
			err := ct12.Parse(certs12)
			for e := range ct12.Entries() {
				sum += len(e.Data)
			}
			return err
		},
		"Append of TLS 1.2 to a buffer that is large enough": func() error {
			err := errors.Join(sh12.Parse(serverHello12, everything), cs.Parse(status), ske.Parse(exchange),
				cke.Parse(public), cr12.Parse(request12), nst12.Parse(ticket12))
			sum += len(sh12.Append(buf)) + len(cs.Append(buf)) + len(ske.Append(buf)) + len(ske.AppendParams(buf)) +
				len(cke.Append(buf)) + len(cr12.Append(buf)) + len(nst12.Append(buf)) +
				len(AppendCertificate12(buf, chain)) + len(AppendEmpty(buf, TypeServerHelloDone))
			return err
		},
		"iteration over a ClientHello's lists": func() error {
			if err := ch.Parse(hello); err != nil {
				return err
			}
			for group, key := range ch.KeyShares.All() {
				sum += int(group) + len(key)
			}
			for name := range ch.ALPN.All() {
				sum += len(name)
			}
			for name := range ch.CertificateAuthorities.All() {
				sum += len(name)
			}
			for identity, age := range ch.PreSharedKey.Identities.All() {
				sum += len(identity) + int(age)
			}
			for binder := range ch.PreSharedKey.Binders.All() {
				sum += len(binder)
			}
			if _, ok := ch.KeyShares.Find(0x001d); !ok || !ch.ALPN.Contains("h2") {
				return fault.Internal
			}
			return nil
		},
		"Append to a buffer that is large enough": func() error {
			err := errors.Join(ch.Parse(hello), sh.Parse(serverHello, everything),
				ee.Parse(encrypted, everything), cr.Parse(request), nst.Parse(ticket))
			sum += len(ch.Append(buf)) + len(sh.Append(buf)) + len(ee.Append(buf)) + len(cr.Append(buf)) + len(nst.Append(buf))
			return err
		},
	} {
		var err error
		if n := testing.AllocsPerRun(10, func() { err = run() }); n != 0 || err != nil {
			t.Errorf("%s makes %v allocations, and should make none (error: %v)", name, n, err)
		}
	}
}

func TestNamesOfMessages(t *testing.T) {
	names := map[MessageType]string{
		0: "HelloRequest", 1: "ClientHello", 2: "ServerHello", 4: "NewSessionTicket", 5: "EndOfEarlyData",
		8: "EncryptedExtensions", 11: "Certificate", 12: "ServerKeyExchange", 13: "CertificateRequest",
		14: "ServerHelloDone", 15: "CertificateVerify", 16: "ClientKeyExchange", 20: "Finished",
		22: "CertificateStatus", 24: "KeyUpdate", 254: "message_hash",
	}
	for i := range 256 {
		want, ok := names[MessageType(i)]
		if !ok {
			want = "handshake message " + strconv.Itoa(i)
		}
		if got := MessageType(i).String(); got != want {
			t.Errorf("message type %d is called %q, want %q", i, got, want)
		}
	}
}

func TestBeginAndEndFrameAMessage(t *testing.T) {
	b := []byte{1, 2, 3}
	b = Begin(b, TypeFinished)
	if len(b) != 3+HeaderLen {
		t.Fatalf("Begin appends %d bytes, and a header has %d", len(b)-3, HeaderLen)
	}
	b = append(b, make([]byte, 0x010203)...)
	b = End(b, 3)
	if want := []byte{1, 2, 3, 20, 1, 2, 3}; !bytes.Equal(b[:7], want) {
		t.Errorf("the message begins with %x, want %x", b[:7], want)
	}
}

func TestUint16s(t *testing.T) {
	type group uint16
	l := AppendUint16s[group](nil, 0x001d, 0x0017)
	l = AppendUint16s[uint16](l, 0x11ec)
	if want := []byte{0, 0x1d, 0, 0x17, 0x11, 0xec}; !bytes.Equal(l, want) {
		t.Fatalf("the vector is %x, want %x", l, want)
	}
	if l.Len() != 3 || l.At(0) != 0x1d || l.At(2) != 0x11ec {
		t.Errorf("the vector does not hold what was appended: %d values, %#x … %#x", l.Len(), l.At(0), l.At(2))
	}
	if !l.Contains(0x17) || l.Contains(0x1d00) || Uint16s(nil).Contains(0) {
		t.Error("Contains must look at whole values only")
	}
}

// expect checks that err is of the reason want, with a story of what was read.
func expect(t *testing.T, err error, want fault.Reason, format string, args ...any) {
	t.Helper()
	if err == nil {
		t.Errorf(format+" is accepted, want: %v", append(args, want)...)
	} else if got := fault.Of(err); got != want {
		t.Errorf(format+" fails with %q, want: %v", append(args, err, want)...)
	}
}

// assemble turns a readable form of a message into bytes. Words are hex,
// "aa*32" (a byte so many times), 'text', "random" and "retry" (32 bytes); "2["
// opens a vector with a length of two bytes and "]" closes it. lengths are the
// places of the last byte of each length.
func assemble(t testing.TB, text string) (b []byte, lengths []int) {
	t.Helper()
	type vector struct{ at, size int }
	var open []vector
	for _, word := range strings.Fields(text) {
		value, times, repeated := strings.Cut(word, "*")
		switch {
		case strings.HasSuffix(word, "["):
			size := int(word[0] - '0')
			open = append(open, vector{len(b), size})
			b = append(b, make([]byte, size)...)
		case word == "]":
			v := open[len(open)-1]
			open = open[:len(open)-1]
			n := len(b) - v.at - v.size
			for i := range v.size {
				b[v.at+v.size-1-i] = byte(n >> (8 * i))
			}
			lengths = append(lengths, v.at+v.size-1)
		case word[0] == '\'':
			b = append(b, strings.Trim(word, "'")...)
		case word == "random":
			for i := range byte(32) {
				b = append(b, 0xe0^i)
			}
		case word == "retry":
			b = append(b, RetryRandom[:]...)
		case repeated:
			n, err := strconv.Atoi(times)
			if err != nil {
				t.Fatalf("cannot assemble %q: %v", word, err)
			}
			b = append(b, bytes.Repeat(unhex(t, value), n)...)
		default:
			b = append(b, unhex(t, word)...)
		}
	}
	if len(open) != 0 {
		t.Fatalf("%d vectors are left open in %q", len(open), text)
	}
	return b, lengths
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatalf("cannot assemble %q: %v", text, err)
	}
	return b
}

// list collects what an iterator yields, as text.
func list(seq iter.Seq[[]byte]) (l []string) {
	for v := range seq {
		l = append(l, string(v))
	}
	return l
}
