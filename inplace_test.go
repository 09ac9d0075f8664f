package baretls_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/baretls/baretls"
)

// Encrypt where the data and the output share memory: what the peer reads is
// what the data was, whatever they share.

// encrypter is what can encrypt: the right to write, a half, early data.
type encrypter interface {
	EncryptedLen(n int) int
	PayloadOffset() int
	Encrypt(data, out []byte) (int, error)
	AppendEncrypted(out, data []byte) ([]byte, error)
}

// shares are the places of data in relation to its own, by how far they are
// behind it: n is the size of the data, and size that of what is encrypted.
var shares = []struct {
	name string
	by   func(offset, n, size int) int
}{
	{"in its place", func(offset, n, size int) int { return 0 }},
	{"a byte too early", func(offset, n, size int) int { return -1 }},
	{"a byte too late", func(offset, n, size int) int { return 1 }},
	{"at the front", func(offset, n, size int) int { return -offset }},
	{"across the front", func(offset, n, size int) int { return -offset - n/2 }},
	{"in front", func(offset, n, size int) int { return -offset - n }},
	{"a block too late", func(offset, n, size int) int { return 16 }},
	{"at the end", func(offset, n, size int) int { return size - offset - n }},
	{"across the end", func(offset, n, size int) int { return size - offset - (n+1)/2 }},
	{"behind", func(offset, n, size int) int { return size - offset }},
}

// eachShare encrypts data that lies in all those places, hands the result to
// open, and compares what that returns with the data.
func eachShare(t *testing.T, w encrypter, n int, open func(sealed []byte) []byte) {
	t.Helper()
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i ^ i>>8)
	}
	for _, share := range shares {
		size, offset := w.EncryptedLen(n), w.PayloadOffset()
		front := offset + n + 16
		memory := bytes.Repeat([]byte{0x55}, front+size+front)
		at := front + offset + share.by(offset, n, size)
		copy(memory[at:], data)
		out, before := memory[front:front+size], bytes.Clone(memory)

		var short *baretls.InsufficientSizeError
		if _, err := w.Encrypt(memory[at:at+n], out[:size-1]); !errors.As(err, &short) || short.RequiredSize != size {
			t.Errorf("%d bytes %s, and a byte of room too little: %v, want an InsufficientSizeError that requires %d", n, share.name, err, size)
		}
		if !bytes.Equal(memory, before) {
			t.Errorf("%d bytes %s, and a byte of room too little: something has been written", n, share.name)
		}
		if got, err := w.Encrypt(memory[at:at+n], out); got != size || err != nil {
			t.Fatalf("%d bytes %s are encrypted to %d bytes, %v, want %d", n, share.name, got, err, size)
		}
		if !bytes.Equal(memory[:front], before[:front]) || !bytes.Equal(memory[front+size:], before[front+size:]) {
			t.Errorf("%d bytes %s: Encrypt has changed memory beside the output", n, share.name)
		}
		if got := open(out); !bytes.Equal(got, data) {
			t.Fatalf("%d bytes %s: the peer gets %d bytes that are not the data", n, share.name, len(got))
		}
	}
}

// opener opens what was encrypted with a connection or the half of one.
func opener(t *testing.T, turn func([]byte) (baretls.Status, error)) func([]byte) []byte {
	return func(in []byte) (data []byte) {
		for len(in) > 0 {
			status, err := turn(in)
			read, ok := status.State.(baretls.ReadTraffic)
			if !ok {
				t.Fatalf("what was encrypted leads to %T, %v, want ReadTraffic", status.State, err)
			}
			in = in[status.Discard:]
			for rec := range read.Records() {
				data = append(data, rec.Payload...)
				in = in[rec.Discard:]
			}
		}
		return data
	}
}

var shareSizes = []int{1, 2, 15, 16, 17, 64, 1000, 16383, 16384, 16385, 50_000}

func TestDataThatSharesMemoryWithTheOutput(t *testing.T) {
	for _, suite := range append(benchSuites, benchSuites12...) {
		for _, padding := range []int{0, 512} { // TLS 1.2 takes no notice
			t.Run(fmt.Sprintf("suite=%s/padding=%d", suite.name, padding), func(t *testing.T) {
				client, server := paddedPair(t, suite.id, padding)
				for _, n := range shareSizes {
					eachShare(t, client.quiet(t), n, opener(t, server.conn.ProcessTLSRecords))
				}
				_, w, err := client.conn.Split()
				if err != nil {
					t.Fatal(err)
				}
				r, _, err := server.conn.Split()
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range shareSizes {
					eachShare(t, w, n, opener(t, r.ProcessTLSRecords))
				}
			})
		}
	}
}

func TestEarlyDataThatSharesMemoryWithTheOutput(t *testing.T) {
	st := newStage(t, func(c *baretls.ClientConfig, s *baretls.ServerConfig) { s.MaxEarlyData = 1 << 20 })
	st.connect()
	m := st.meet()
	w := m.earlyWriter()
	var all []byte
	for _, n := range []int{1, 64, 16384, 16385, 40_000} {
		for _, share := range shares {
			size, offset := w.EncryptedLen(n), w.PayloadOffset()
			front := offset + n
			memory := make([]byte, front+size+n)
			data := memory[front+offset+share.by(offset, n, size):][:n]
			for i := range data {
				data[i] = byte(i + n)
			}
			all = append(all, data...)
			if got, err := w.Encrypt(data, memory[front:front+size]); got != size || err != nil {
				t.Fatalf("%d bytes of early data %s are encrypted to %d bytes, %v, want %d", n, share.name, got, err, size)
			}
			m.client.out = append(m.client.out, memory[front:front+size]...)
		}
	}
	m.client.flush()
	m.complete()
	m.wantEarly("from memory that is shared", accepted, accepted, string(all))
}

// A KeyUpdate that falls due goes in front, and takes the place where the data
// is.
func TestKeyUpdateBeforeDataInItsPlace(t *testing.T) {
	const fragment = 64
	for written := range keyLimit + 1 {
		p := limitedPair(t, fragment)
		for range written {
			p.client.write([]byte("x"))
		}
		p.run()
		for _, n := range []int{1, fragment, 3 * fragment, 3*keyLimit*fragment + 1} {
			eachShare(t, p.client.writer(), n, func(sealed []byte) []byte {
				p.server.data = nil
				p.server.give(bytes.Clone(sealed))
				p.run()
				return p.server.data
			})
		}
	}
}

// The same where the peer has asked for the KeyUpdate, and after the caller has
// put the data where it belongs.
func TestRequestedKeyUpdateBeforeDataInItsPlace(t *testing.T) {
	client, server := establishedPair(t, benchSuites[0].id)
	if err := server.quiet(t).RefreshTrafficKeys(); err != nil {
		t.Fatal(err)
	}
	r, w, err := client.conn.Split()
	if err != nil {
		t.Fatal(err)
	}
	const text = "this is where it belongs"
	memory := make([]byte, 200)
	offset := w.PayloadOffset()
	data := append(memory[:offset], text...)[offset:]
	if err := server.run(client); err != nil {
		t.Fatal(err)
	}
	opener(t, r.ProcessTLSRecords)(client.in)
	if !w.Pending() || w.PayloadOffset() != offset {
		t.Fatalf("after the peer's request, pending is %t and PayloadOffset %d, want a KeyUpdate and %d as before", w.Pending(), w.PayloadOffset(), offset)
	}
	n, err := w.Encrypt(data, memory)
	if err != nil || w.Pending() {
		t.Fatalf("Encrypt returns %v, and pending is %t afterwards", err, w.Pending())
	}
	if got := opener(t, server.conn.ProcessTLSRecords)(memory[:n]); string(got) != text {
		t.Errorf("the peer gets %q, want %q", got, text)
	}
}

// Data in the spare room of what AppendEncrypted appends to.
func TestAppendEncryptedWithDataInItsPlace(t *testing.T) {
	for _, suite := range append(benchSuites, benchSuites12...) {
		for _, spare := range []int{0, 1, 100} { // a byte too little makes it grow
			client, server := establishedPair(t, suite.id)
			w := client.quiet(t)
			const text = "appended"
			size, offset := w.EncryptedLen(len(text)), w.PayloadOffset()
			out := make([]byte, 3, 3+size-1+spare)
			copy(out, "abc")
			data := append(out[:3+offset], text...)[3+offset:]
			got, err := w.AppendEncrypted(out, data)
			if err != nil || string(got[:3]) != "abc" || len(got) != 3+size {
				t.Fatalf("%s: AppendEncrypted returns %q and %d bytes, %v, want abc and %d", suite.name, got[:3], len(got), err, 3+size)
			}
			if read := opener(t, server.conn.ProcessTLSRecords)(got[3:]); string(read) != text {
				t.Errorf("%s: the peer gets %q, want %q", suite.name, read, text)
			}
		}
	}
}

// In place means without a copy: where the record's content is, the data was.
func TestPayloadOffsetIsWhereThePeerFindsThePayload(t *testing.T) {
	for _, suite := range append(benchSuites, benchSuites12...) {
		client, server := establishedPair(t, suite.id)
		w := client.quiet(t)
		sealed, err := w.AppendEncrypted(nil, []byte("data"))
		if err != nil {
			t.Fatal(err)
		}
		rec, ok := readTraffic(t, server.conn, sealed).NextRecord()
		if !ok || &rec.Payload[0] != &sealed[w.PayloadOffset()] {
			t.Errorf("%s: the payload is not at PayloadOffset, %d", suite.name, w.PayloadOffset())
		}
		if n, err := w.QueueCloseNotify(make([]byte, 100)); n == 0 || err != nil {
			t.Fatal(err)
		}
		if got := w.PayloadOffset(); got != 0 {
			t.Errorf("%s: after the close_notify, PayloadOffset is %d, want 0", suite.name, got)
		}
	}
}
