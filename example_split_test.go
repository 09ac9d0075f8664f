package baretls_test

import (
	"fmt"
	"io"
	"log"
	"slices"
	"sync"

	"github.com/baretls/baretls"
)

// Each half has its goroutine. The reader only tells the writer that something
// is pending; the writer has the transport's other direction to itself.
func ExampleReadHalf() {
	client, server := exampleSplitConns()
	toServer, toClient := make(chan []byte, 10), make(chan []byte, 10)
	var running sync.WaitGroup

	running.Go(func() { // the client writes
		defer close(toServer)
		for _, word := range []string{"one ", "two ", "three"} {
			out, err := client.w.AppendEncrypted(nil, []byte(word))
			if err != nil {
				log.Fatal(err)
			}
			toServer <- out
			if err := client.w.RefreshTrafficKeys(); err != nil { // goes before the next word
				log.Fatal(err)
			}
		}
		out, err := client.w.AppendCloseNotify(nil)
		if err != nil {
			log.Fatal(err)
		}
		toServer <- out
	})

	pending := make(chan struct{}, 1)
	var words []byte
	running.Go(func() { // the server reads
		defer close(pending)
		var in []byte
		for {
			status, err := server.r.ProcessTLSRecords(in)
			discard := status.Discard
			switch state := status.State.(type) {
			case baretls.ReadTraffic:
				for record := range state.Records() {
					words = append(words, record.Payload...)
					discard += record.Discard
				}
			case baretls.BlockedRead:
				more, ok := <-toServer
				if !ok {
					server.r.CloseInput() // an error, unless the client has closed
				}
				in = append(in, more...)
			case baretls.PeerClosed:
				fmt.Printf("%s.\n", words)
			case baretls.Closed:
				return
			}
			if server.w.Pending() { // the answer to a KeyUpdate, or an alert
				select {
				case pending <- struct{}{}:
				default: // the writer has been told
				}
			}
			if err != nil {
				log.Print(err)
				return
			}
			in = slices.Delete(in, 0, discard)
		}
	})

	running.Go(func() { // the server writes
		defer close(toClient)
		for range pending {
			out, err := server.w.AppendPending(nil)
			if err != nil {
				log.Fatal(err)
			}
			toClient <- out
		}
		out, err := server.w.AppendCloseNotify(nil)
		if err != nil {
			log.Fatal(err)
		}
		toClient <- out
	})

	running.Wait()
	// Output: one two three.
}

// What was read may call for an answer. It goes out by itself, or with the
// next data.
func ExampleWriteHalf() {
	client, server := exampleSplitConns()
	if err := client.w.RefreshTrafficKeys(); err != nil {
		log.Fatal(err)
	}
	update, err := client.w.AppendPending(nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := server.receive(update); err != nil {
		log.Fatal(err)
	}
	fmt.Println("an answer is pending:", server.w.Pending())
	fmt.Println("five bytes are now", server.w.EncryptedLen(5))

	out := make([]byte, 100)
	n, err := server.w.Encrypt([]byte("hello"), out)
	if err != nil {
		log.Fatal(err)
	}
	send(out[:n])
	fmt.Println("and with the answer gone", server.w.EncryptedLen(5))
	// Output:
	// an answer is pending: true
	// five bytes are now 54
	// and with the answer gone 27
}

// Nothing is left to read until more has come.
func ExampleBlockedRead() {
	client, server := exampleSplitConns()
	record, err := client.w.AppendEncrypted(nil, []byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	status, err := server.r.ProcessTLSRecords(record[:20])
	if err != nil {
		log.Fatal(err)
	}
	if state, ok := status.State.(baretls.BlockedRead); ok {
		fmt.Println("receive at least", state.Need(), "bytes")
	}

	server.r.CloseInput() // they will not come
	_, err = server.r.ProcessTLSRecords(record[:20])
	fmt.Println(err)
	// Output:
	// receive at least 7 bytes
	// baretls: the transport ended without a close_notify: unexpected EOF
}

// exampleHalves is one end of a connection.
type exampleHalves struct {
	r *baretls.ReadHalf
	w *baretls.WriteHalf
}

// exampleSplitConns are connected to each other.
func exampleSplitConns() (client, server exampleHalves) {
	c, s := exampleConns()
	var err error
	if client.r, client.w, err = c.conn.Split(); err != nil {
		log.Fatal(err)
	}
	if server.r, server.w, err = s.conn.Split(); err != nil {
		log.Fatal(err)
	}
	return client, server
}

// receive takes what comes until there is no more.
func (h exampleHalves) receive(in []byte) error {
	for {
		status, err := h.r.ProcessTLSRecords(in)
		if err != nil {
			return err
		}
		in = in[status.Discard:]
		switch state := status.State.(type) {
		case baretls.ReadTraffic:
			for record := range state.Records() {
				in = in[record.Discard:]
			}
		case baretls.BlockedRead:
			return nil
		case baretls.Closed:
			return io.EOF
		}
	}
}
