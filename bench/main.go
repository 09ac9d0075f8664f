// Command bench compares baretls with crypto/tls, with the bare primitives, with
// OpenSSL's and with rustls, all in one run, and prints a report in Markdown.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	var (
		o      options
		asJSON = flag.Bool("json", false, "print JSON instead of Markdown")
		build  = flag.Bool("rustls", false, "build the Rust program first; without it, rustls takes part if it has been built")
		only   = flag.String("only", "", "measure the tables whose names match this `pattern` only")
		shares = flag.Duration("profile", 0, "tell where handshakes and records spend their time instead, by samples of `so long` for each")
		into   = flag.String("write", "", "put the Markdown into this `file`, between the lines that are marked for it")
	)
	flag.BoolVar(&o.quick, "quick", false, "measure the most telling part only, in less than 45 seconds, without OpenSSL and rustls")
	flag.IntVar(&o.runs, "runs", 11, "how many runs the medians are of")
	flag.DurationVar(&o.slice, "slice", 100*time.Millisecond, "how long a run measures each contender")
	flag.IntVar(&o.crowd, "connections", 100_000, "how many connections there are at most")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}
	if *shares > 0 {
		tables, err := profileAll(*shares)
		if err == nil {
			err = show(tables, sharesMarks, *into)
		}
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		log.Fatalf("-only: %v", err)
	}
	if *build {
		if err := buildRustls(); err != nil {
			log.Print("rustls: ", err)
		}
	}
	if o.quick {
		o.hurry()
	}
	r, err := run(o, os.Stderr)
	if err != nil {
		log.Fatal(err)
	}
	if *asJSON {
		err = r.json(os.Stdout)
	} else {
		err = show(r.markdown(), reportMarks, *into)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// show prints text, or puts it into a document.
func show(text string, m marks, into string) error {
	if into != "" {
		return m.write(into, text)
	}
	_, err := fmt.Print(text)
	return err
}

// options are what is to be measured, and how well.
type options struct {
	effort
	quick bool
	crowd int
	only  *regexp.Regexp
}

// hurry keeps to 45 seconds.
func (o *options) hurry() {
	o.runs, o.slice, o.crowd = min(o.runs, 5), min(o.slice, 40*time.Millisecond), min(o.crowd, 10_000)
}

// run measures everything.
func run(o options, progress io.Writer) (report, error) {
	// Both sides work on one core, and so do collections of garbage.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r := report{
		Machine: thisMachine(),
		Effort:  fmt.Sprintf("Medians of %d runs, in each of which the contenders took turns for %v altogether each.", o.runs, o.slice),
	}
	if hasProcessTime {
		r.Effort += " Time counts while the processor is ours."
	}
	p, err := newPKI()
	if err != nil {
		return r, err
	}
	var rs *rustls
	noRustls := errQuick
	if !o.quick {
		rs, noRustls = startRustls(p)
	}
	if noRustls != nil {
		r.Effort += fmt.Sprintf(" rustls is left out: %v.", noRustls)
	} else {
		defer rs.stop()
		r.Machine.Rustls = rustlsVersion()
	}
	for _, part := range plan(o, p, rs) {
		if o.only != nil && !o.only.MatchString(part.ID) {
			continue
		}
		begun := time.Now()
		tables, err := part.measure()
		if err != nil {
			return r, fmt.Errorf("%s: %w", part.ID, err)
		}
		r.Tables = append(r.Tables, tables...)
		fmt.Fprintf(progress, "%s: %.1f s\n", part.ID, time.Since(begun).Seconds())
	}
	r.Aims = judge(r.Tables)
	r.Machine.After = load()
	return r, nil
}

// part is a table and how it is filled; more tables may come of it.
type part struct {
	table
	measure func() ([]table, error)
}

// plan is the order of everything.
func plan(o options, p *pki, rs *rustls) []part {
	var parts []part
	add := func(t table, scenarios []scenario, e effort) {
		parts = append(parts, part{t, func() ([]table, error) { return fill(t, scenarios, e) }})
	}

	sizes, recorded, weighed := []int{16384, 1024, 64}, suites, suites
	if o.quick {
		sizes, recorded, weighed = []int{16384, 64}, []suite{suites[0], suites[2]}, suites[:2]
	}
	records := records{p, rs}
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		for _, work := range []string{"seal", "open"} {
			t := table{ID: work, Title: recordTitles[work], Text: recordTexts[work], Labels: []string{"suite", "bytes"}, Unit: "ns", allocs: true}
			if version == tls.VersionTLS12 {
				if o.quick {
					continue
				}
				t.ID, t.Title, t.Text = work+"12", t.Title+", TLS 1.2", ""
			}
			var scenarios []scenario
			for _, s := range recorded {
				for _, size := range sizes {
					scenarios = append(scenarios, records.scenario(work, version, s, size))
				}
			}
			add(t, scenarios, o.effort)
		}
	}

	handshakes := handshakes{p, rs}
	for _, hs := range handshakeTables(o.quick) {
		var scenarios []scenario
		for _, h := range hs.handshakes {
			scenarios = append(scenarios, handshakes.scenario(h))
		}
		add(hs.table, scenarios, o.effort)
	}

	weights := idle{p, rs, min(1000, o.crowd)}
	heap := table{ID: "idle", Title: "Memory of an idle connection", Text: idleText, Labels: []string{"suite", "side"}, Unit: "bytes"}
	parts = append(parts, part{heap, func() (_ []table, err error) {
		heap.Rows, err = weights.rows(weighed)
		return []table{heap}, err
	}})

	parts = append(parts, crowdPart(o, p))
	return append(parts, opensslParts(o, p)...)
}

// fill measures the rows of a table.
func fill(t table, scenarios []scenario, e effort) ([]table, error) {
	for _, s := range scenarios {
		r, err := measure(s, e)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", s.labels, err)
		}
		t.Rows = append(t.Rows, r)
	}
	return []table{t}, nil
}

var recordTitles = map[string]string{"seal": "Sealing records", "open": "Opening records"}

var recordTexts = map[string]string{
	"seal": "*baretls* encrypts data from other memory, *in place* data that lies at `PayloadOffset` of the output. *AEAD* is\n`cipher.AEAD` alone, from one memory into another, over content and type, as RFC 9846, Section 5.2, encrypts both; *without\ntype* it has a byte less, and with AES-GCM a block less where the size is a multiple of 16. *AEAD and copy* puts plaintext\nand type into one piece first, which is necessary where the plaintext is to stay as it is. `crypto/tls` writes into nothing.",
	"open": "In place, *AEAD* alone too, which opens the type as well; with `crypto/tls`, from memory to the reader's memory. For baretls and rustls it is the turn that offers the\nrecord, the opening, and the quiet turn after it.",
}

// handshakeTable is what is told about handshakes of one kind.
type handshakeTable struct {
	table
	handshakes []handshake
}

func handshakeTables(quick bool) []handshakeTable {
	groups := []tls.CurveID{tls.X25519, tls.CurveP256, tls.X25519MLKEM768}
	kinds := []struct {
		id, title, text string
		version         uint16
		kind            kind
	}{
		{"full", "Full handshakes, with a server that the client has met before", fullText, tls.VersionTLS13, known},
		{"first", "Full handshakes, at the first contact", firstText, tls.VersionTLS13, first},
		{"resumed", "Resumed handshakes", resumedText, tls.VersionTLS13, resumed},
		{"early", "Handshakes with 0-RTT data", earlyText, tls.VersionTLS13, early},
		{"full12", "Full handshakes in TLS 1.2, with a server that the client has met before", "", tls.VersionTLS12, known},
		{"first12", "Full handshakes in TLS 1.2, at the first contact", "", tls.VersionTLS12, first},
		{"resumed12", "Resumed handshakes in TLS 1.2", resumed12Text, tls.VersionTLS12, resumed},
	}
	var tables []handshakeTable
	for _, k := range kinds {
		t := handshakeTable{table: table{
			ID: k.id, Title: k.title, Text: k.text, Labels: []string{"key exchange", "certificate"}, Unit: "ns",
			micro: true, sides: true, allocs: true,
		}}
		for _, key := range keyTypes {
			for _, group := range groups {
				h := handshake{k.version, k.kind, group, key}
				if h.exists() && (!quick || h.telling()) {
					t.handshakes = append(t.handshakes, h)
				}
			}
		}
		switch {
		case k.id == "resumed12":
			t.Labels = []string{"session"}
		case k.kind == resumed || k.kind == early:
			t.Labels = t.Labels[:1]
		}
		tables = append(tables, t)
	}
	return tables
}

// exists reports whether there is such a handshake, and no other that is the
// same: without certificates there are no keys, and in TLS 1.2 no hybrid group.
func (h handshake) exists() bool {
	switch {
	case h.version == tls.VersionTLS12 && h.group == tls.X25519MLKEM768:
		return false
	case h.kind == resumed && h.version == tls.VersionTLS12:
		return h.key == ecdsaKey && h.group == tls.X25519
	case h.kind == resumed || h.kind == early:
		return h.key == ecdsaKey
	}
	return true
}

// telling reports whether a handshake says what others do not.
func (h handshake) telling() bool {
	return h.group == tls.X25519 && h.key == ecdsaKey ||
		h.version == tls.VersionTLS13 && slices.Contains([]kind{known, first, resumed}, h.kind) && h.group == tls.X25519MLKEM768 && h.key == ecdsaKey
}

const (
	fullText = `One client, one server, without resumption: a client of baretls has verified this chain before and checks the
CertificateVerify only; one of ` + "`crypto/tls`" + ` has parsed it before; one of rustls has kept nothing. *operations* are the
public-key operations that are left for baretls, measured alone: four of the key exchange, a signature and its
verification. They are the standard library's, but X25519 keys are made over the Edwards base point, as baretls makes
them; with *operations, crypto/ecdh* they are not.`
	firstText = `The same with servers whose certificates, leaf and intermediate, the client has never seen. *operations* include the
verification of two certificates.`
	resumedText = `With the ticket of the one before, a key exchange, a new ticket, and behind it a byte of data, which is what makes
a client of ` + "`crypto/tls`" + ` read it.`
	earlyText = `The same with 1,024 bytes of the client in 0-RTT data, and sessions that are kept in the server. ` + "`crypto/tls`" + `
cannot do that over TCP: there the client sends them after the handshake, with a ticket.`
	resumed12Text = `By ticket, with a new one, and without a key exchange.`
	idleText      = `Bytes of heap of an established connection, keys of both directions included, without certificates, which connections
share (of rustls they do not: each client has its own), and without the caller's buffers. *crypto/tls, reading* has a goroutine that waits in ` + "`Read`" + `, with the
stack and the buffer that it then has.`
)

func crowdPart(o options, p *pki) part {
	t := table{
		ID: "crowd", Title: "Many connections", Unit: "ns", allocs: true, Labels: []string{"connections"},
		Text: "A server opens a request of 1,024 bytes and seals as large a response, each time on another connection, by chance,\nor on another after " + strconv.Itoa(crowdBurst) + " in a row. The clients are of baretls. *AEAD* opens and seals with keys of as many connections, and nothing else: that it costs\nmore where there are many is the cache's doing.",
	}
	growth := table{
		ID: "crowd-growth", Title: "What many connections add to a request", Unit: "times", Labels: []string{"connections"},
		Text: "The time of the last row over that of the first. Where the same connection has " + strconv.Itoa(crowdBurst) + " requests in a row, the caches miss so\nmuch less often, and what is left is what many connections cost besides.",
	}
	return part{t, func() ([]table, error) {
		w := &crowd{pki: p}
		var scenarios []scenario
		for count := 1; count <= o.crowd; count *= 10 {
			if count != 10 && count != 1000 {
				scenarios = append(scenarios, w.scenario(count))
			}
		}
		tables, err := fill(t, scenarios, o.effort)
		if err != nil {
			return nil, err
		}
		growth.Rows = []row{grown(tables[0].Rows)}
		heap := table{
			ID: "crowd-heap", Title: "Memory of many connections", Unit: "bytes", Labels: []string{"connections"}, Rows: w.heaps,
			Text: "Bytes of heap for each, server and client, before the first record; the clients are of baretls. *AEAD* is the four keys alone.",
		}
		return append(tables, growth, heap), nil
	}}
}

func opensslParts(o options, p *pki) []part {
	ssl := openssl{p}
	aead := table{
		ID: "openssl-records", Title: "Records beside OpenSSL", Labels: []string{"suite", "bytes"}, Unit: "ns",
		Text: "A record of baretls beside `openssl speed -aead`, which encrypts in place and has no records.",
	}
	operations := table{
		ID: "openssl-operations", Title: "Public-key operations beside OpenSSL", Labels: []string{"operation"}, Unit: "ns", micro: true,
		Text: "Go's, which baretls uses, beside `openssl speed`. Here ratios are to Go.",
	}
	e := o.effort
	e.runs = min(e.runs, 5) // each takes seconds
	skip := findOpenSSL()
	if o.quick {
		skip = errQuick
	}
	guard := func(t table, scenarios func() ([]scenario, error)) part {
		return part{t, func() ([]table, error) {
			if skip != nil {
				t.Skipped = skip.Error()
				return []table{t}, nil
			}
			all, err := scenarios()
			if err != nil {
				return nil, err
			}
			return fill(t, all, e)
		}}
	}
	return []part{
		guard(aead, func() (scenarios []scenario, err error) {
			for _, s := range suites {
				for _, size := range []int{16384, 1024} {
					scenarios = append(scenarios, ssl.records(s, size))
				}
			}
			return scenarios, nil
		}),
		guard(operations, func() (scenarios []scenario, err error) {
			all, err := ssl.operations()
			for _, op := range all {
				scenarios = append(scenarios, op.scenario())
			}
			return scenarios, err
		}),
	}
}
