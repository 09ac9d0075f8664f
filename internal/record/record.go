// Package record turns TLS records into plaintext and plaintext into records.
//
// It is RFC 9846, Section 5, and nothing above it. A Reader opens the peer's
// records in place and joins the handshake messages that record boundaries
// cut; a Writer keeps what waits to be sent and seals it, a record at a time,
// into memory of the caller's. Keys change in one place each, and only on
// message boundaries. Neither half keeps memory once it is idle.
package record

import (
	"crypto/cipher"

	"github.com/baretls/baretls/internal/fault"
)

// A ContentType says what a record carries.
type ContentType uint8

const (
	ChangeCipherSpec ContentType = 20
	Alert            ContentType = 21
	Handshake        ContentType = 22
	ApplicationData  ContentType = 23
)

func (t ContentType) String() string {
	switch t {
	case ChangeCipherSpec:
		return "change_cipher_spec"
	case Alert:
		return "alert"
	case Handshake:
		return "handshake"
	case ApplicationData:
		return "application_data"
	}
	return "unknown record type"
}

// Sizes in bytes: RFC 9846, Sections 5.1 and 5.2.
const (
	HeaderLen     = 5
	MaxPlaintext  = 1 << 14     // content of one record
	MaxCiphertext = 1<<14 + 256 // body of one protected record
	TagLen        = 16          // every AEAD of TLS 1.3
	Overhead      = HeaderLen + 1 + TagLen
	MinFragment   = 64 // RFC 8449, Section 4
)

// Header is the five bytes in front of every record.
type Header struct {
	Type    ContentType
	Version uint16
	Length  int // of the body that follows
}

// ParseHeader reads the header at the front of b, which has at least HeaderLen
// bytes, and judges it by what can be known without opening the record.
// The version is only checked not to be older than SSL 3.0: Section 5.1 and
// Appendix E want it ignored, Appendix E.5 wants such records refused.
func ParseHeader(b []byte, protected bool) (h Header, ok bool) {
	h = Header{ContentType(b[0]), uint16(b[1])<<8 | uint16(b[2]), int(b[3])<<8 | int(b[4])}
	limit := MaxPlaintext
	if protected {
		limit = MaxCiphertext
	}
	return h, h.Type-ChangeCipherSpec <= ApplicationData-ChangeCipherSpec && h.Version >= 0x0300 && h.Length <= limit
}

// Fault is what is wrong with a header that is not ok.
func (h Header) Fault() error {
	switch {
	case h.Type < ChangeCipherSpec || h.Type > ApplicationData:
		return fault.UnexpectedRecord.With("type %d", uint8(h.Type))
	case h.Version < 0x0300:
		return fault.RecordVersion.With("%#04x", h.Version)
	}
	return fault.RecordOverflow.With("%d bytes", h.Length)
}

// Keys protect the records of one direction from one key change to the next.
type Keys struct {
	AEAD  cipher.AEAD
	IV    [12]byte
	Limit uint64 // records that may be sealed under them; Section 5.5

	// TLS12 selects the protection of TLS 1.2, and Explicit that half of the
	// nonce is sent with each record.
	TLS12, Explicit bool

	// Fragment is the most content bytes of a record that is sealed under
	// them; 0: as before.
	Fragment int
}

// half is what opening and sealing share: the keys and the record sequence
// number (Section 5.3). All that a record takes is in these
// 48 bytes, and what a Writer has behind them.
type half struct {
	aead  cipher.AEAD // nil as long as records are in the clear
	nonce [12]byte    // of the next record

	// ad is the additional data of TLS 1.2. The sequence number of the next
	// record, which it begins with, is kept nowhere else.
	ad [13]byte

	tls12    bool
	explicit uint8 // bytes of the nonce in each record

	// Initial is a Writer's: handshake records in the clear have the
	// legacy_record_version of an initial ClientHello (Section 5.1).
	Initial bool

	reduced uint16 // how far the contents of records keep below MaxPlaintext
	padMask uint16 // a Writer's: padding block less one
}

func (h *half) set(k *Keys) {
	h.aead, h.nonce = k.AEAD, k.IV
	putBE64(h.ad[:], 0)
	h.tls12, h.explicit = k.TLS12, 0
	if k.Explicit {
		h.explicit = explicitNonceLen
	}
}

// TLS12 reports whether records are protected as in TLS 1.2.
func (h *half) TLS12() bool { return h.tls12 }

// next goes on to the record after the next.
func (h *half) next() { h.setSeq(h.Seq() + 1) }

// setSeq makes seq the number of the next record: padded on the left and XORed
// with the IV it is the nonce, from which the number before is taken out.
func (h *half) setSeq(seq uint64) {
	putBE64(h.nonce[4:], be64(h.nonce[4:])^h.Seq()^seq)
	putBE64(h.ad[:], seq)
}

// Seq is the number that the next record will have.
func (h *half) Seq() uint64 { return be64(h.ad[:]) }

// Protected reports whether keys are installed.
func (h *half) Protected() bool { return h.aead != nil }
