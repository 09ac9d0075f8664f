package keyschedule

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/tlstest/rfc8448"
)

// Every secret, key and MAC that RFC 8448 prints, for all of its traces, with
// the transcript hashes made from the messages.
func TestRFC8448(t *testing.T) {
	for _, name := range []string{
		rfc8448.Simple1RTT, rfc8448.Resumed0RTT, rfc8448.HelloRetryRequest,
		rfc8448.ClientAuth, rfc8448.CompatibilityMode,
	} {
		t.Run(name, func(t *testing.T) {
			trace, err := rfc8448.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			follow(t, trace)
		})
	}
}

// follow derives what the trace holds in the order of a handshake.
func follow(t *testing.T, trace rfc8448.Trace) {
	k := NewKDF(sha256.New)
	var transcript Transcript
	transcript.Start(k)
	add := func(keys ...string) {
		for _, key := range keys {
			transcript.Add(trace[key]) // nothing if the trace has no such message
		}
	}
	check := func(key string, got []byte) {
		t.Helper()
		if want := trace.Bytes(key); !bytes.Equal(got, want) {
			t.Errorf("%s is %x, want %x", key, got, want)
		}
	}
	checkKeys := func(of string, s TrafficSecret) {
		t.Helper()
		key, iv := make([]byte, 16), make([]byte, 12)
		s.Key(k, key)
		s.IV(k, iv)
		check(of+"_key", key)
		check(of+"_iv", iv)
	}

	early := k.EarlySecret(trace["psk"])
	check("early_secret", early.bytes())
	if _, ok := trace["binder"]; ok {
		truncated := transcript.SumWith(trace.Bytes("client_hello_prefix"))
		check("binder_hash", truncated)
		binderKey := early.Binder(k, false)
		check("binder_key", binderKey.bytes())
		check("binder", binderKey.MAC(k, nil, truncated))
	}
	if _, ok := trace["hello_retry_request"]; ok {
		add("client_hello_1")
		transcript.Restart()
		add("hello_retry_request", "client_hello_2")
	}
	add("client_hello")
	if _, ok := trace["client_early_traffic_secret"]; ok {
		check("transcript_hash_client_hello", transcript.Sum())
		earlyTraffic := early.ClientTraffic(k, transcript.Sum())
		check("client_early_traffic_secret", earlyTraffic.Bytes())
		checkKeys("client_early", earlyTraffic)
		exporter := early.Exporter(k, transcript.Sum())
		check("early_exporter_secret", exporter.Bytes())
	}

	handshake := early.Handshake(k, trace.Bytes("ecdhe_shared_secret"))
	check("handshake_secret", handshake.bytes())
	add("server_hello")
	check("transcript_hash_server_hello", transcript.Sum())
	client := handshake.ClientTraffic(k, transcript.Sum())
	server := handshake.ServerTraffic(k, transcript.Sum())
	check("client_handshake_traffic_secret", client.Bytes())
	check("server_handshake_traffic_secret", server.Bytes())
	checkKeys("client_handshake", client)
	checkKeys("server_handshake", server)
	main := handshake.Main(k)
	check("main_secret", main.bytes())

	add("encrypted_extensions", "certificate_request", "certificate", "certificate_verify")
	check("server_finished_verify_data", server.Finished(k, nil, transcript.Sum()))
	add("server_finished")
	check("transcript_hash_server_finished", transcript.Sum())
	clientApplication := main.ClientTraffic(k, transcript.Sum())
	serverApplication := main.ServerTraffic(k, transcript.Sum())
	exporter := main.Exporter(k, transcript.Sum())
	check("client_application_traffic_secret_0", clientApplication.Bytes())
	check("server_application_traffic_secret_0", serverApplication.Bytes())
	checkKeys("client_application", clientApplication)
	checkKeys("server_application", serverApplication)
	check("exporter_secret", exporter.Bytes())

	add("end_of_early_data", "client_certificate", "client_certificate_verify")
	check("client_finished_verify_data", client.Finished(k, nil, transcript.Sum()))
	add("client_finished")
	check("transcript_hash_client_finished", transcript.Sum())
	resumption := main.Resumption(k, transcript.Sum())
	check("resumption_secret", resumption.bytes())
	if nonce, ok := trace["ticket_nonce"]; ok {
		psk := make([]byte, k.Size())
		resumption.PSK(k, nonce, psk)
		check("ticket_psk", psk)
	}
}

// The same schedule, written down once more on top of crypto/hkdf, for both
// hashes and for every combination of a PSK and a shared secret.
func TestScheduleIsHKDF(t *testing.T) {
	for _, h := range hashes {
		n := h.new().Size()
		zeros, transcript := make([]byte, n), fill(n, 9)
		deriveSecret := func(s []byte, label string, context []byte) []byte {
			return wantExpandLabel(h.new, s, label, context, n)
		}
		extract := func(salt, ikm []byte) []byte {
			prk, err := hkdf.Extract(h.new, ikm, salt)
			if err != nil {
				t.Fatal(err)
			}
			return prk
		}
		emptyHash := h.new().Sum(nil)

		for _, tt := range []struct {
			name        string
			psk, shared []byte
		}{
			{"with neither PSK nor key exchange", nil, nil},
			{"with a key exchange", nil, fill(32, 1)},
			{"with a PSK", fill(n, 2), nil},
			{"with a PSK and a hybrid key exchange", fill(n, 2), fill(64, 1)},
			{"with a PSK longer than a block", fill(200, 3), fill(66, 1)},
		} {
			check := func(what string, got, want []byte) {
				t.Helper()
				if !bytes.Equal(got, want) {
					t.Errorf("%s, %s: %s is %x, want %x", h.name, tt.name, what, got, want)
				}
			}
			orZeros := func(b []byte) []byte {
				if b == nil {
					return zeros
				}
				return b
			}

			k := NewKDF(h.new)
			early := k.EarlySecret(tt.psk)
			wantEarly := extract(nil, orZeros(tt.psk))
			check("Early Secret", early.bytes(), wantEarly)
			for label, external := range map[string]bool{"ext binder": true, "res binder": false} {
				binder := early.Binder(k, external)
				wantKey := deriveSecret(deriveSecret(wantEarly, label, emptyHash), "finished", nil)
				mac := hmac.New(h.new, wantKey)
				mac.Write(transcript)
				check(label, binder.MAC(k, nil, transcript), mac.Sum(nil))
			}
			earlyTraffic := early.ClientTraffic(k, transcript)
			check("client_early_traffic_secret", earlyTraffic.Bytes(), deriveSecret(wantEarly, "c e traffic", transcript))
			earlyExporter := early.Exporter(k, transcript)
			check("early_exporter_secret", earlyExporter.Bytes(), deriveSecret(wantEarly, "e exp master", transcript))

			handshake := early.Handshake(k, tt.shared)
			wantHandshake := extract(deriveSecret(wantEarly, "derived", emptyHash), orZeros(tt.shared))
			check("Handshake Secret", handshake.bytes(), wantHandshake)
			clientHandshake := handshake.ClientTraffic(k, transcript)
			check("client_handshake_traffic_secret", clientHandshake.Bytes(), deriveSecret(wantHandshake, "c hs traffic", transcript))
			serverHandshake := handshake.ServerTraffic(k, transcript)
			check("server_handshake_traffic_secret", serverHandshake.Bytes(), deriveSecret(wantHandshake, "s hs traffic", transcript))

			main := handshake.Main(k)
			wantMain := extract(deriveSecret(wantHandshake, "derived", emptyHash), zeros)
			check("Main Secret", main.bytes(), wantMain)
			client := main.ClientTraffic(k, transcript)
			wantClient := deriveSecret(wantMain, "c ap traffic", transcript)
			check("client_application_traffic_secret_0", client.Bytes(), wantClient)
			server := main.ServerTraffic(k, transcript)
			check("server_application_traffic_secret_0", server.Bytes(), deriveSecret(wantMain, "s ap traffic", transcript))
			resumption := main.Resumption(k, transcript)
			wantResumption := deriveSecret(wantMain, "res master", transcript)
			check("resumption_secret", resumption.bytes(), wantResumption)
			psk := make([]byte, n)
			resumption.PSK(k, fill(255, 7), psk)
			check("the PSK of a ticket", psk, wantExpandLabel(h.new, wantResumption, "resumption", fill(255, 7), n))

			key, iv := make([]byte, 32), make([]byte, 12)
			for range 3 {
				client.Key(k, key)
				client.IV(k, iv)
				check("the write key", key, wantExpandLabel(h.new, wantClient, "key", nil, 32))
				check("the write IV", iv, wantExpandLabel(h.new, wantClient, "iv", nil, 12))
				client = client.Next(k)
				wantClient = deriveSecret(wantClient, "traffic upd", nil)
				check("application_traffic_secret_N+1", client.Bytes(), wantClient)
			}

			exporter := main.Exporter(k, transcript)
			wantExporter := deriveSecret(wantMain, "exp master", transcript)
			for _, e := range []struct {
				label   string
				context []byte
				length  int
			}{
				{"EXPORTER-Channel-Binding", nil, 32},
				{"EXPORTER-Channel-Binding", []byte{}, 32},
				{"l", fill(1000, 5), 1},
				{strings.Repeat("l", 249), fill(1, 5), 255 * n},
				{"EXPORTER-nothing", nil, 0},
			} {
				got := make([]byte, e.length)
				if err := exporter.Export(k, e.label, e.context, got); err != nil {
					t.Fatalf("Export refuses a label of %d bytes and %d of output: %v", len(e.label), e.length, err)
				}
				contextHash := h.new()
				contextHash.Write(e.context)
				check("exported material", got, wantExpandLabel(h.new,
					deriveSecret(wantExporter, e.label, emptyHash), "exporter", contextHash.Sum(nil), e.length))
			}
		}
	}
}

// RFC 9846, Section 7.1: without a PSK, "a string of Hash.length bytes set to 0s".
func TestNoPSKIsZeros(t *testing.T) {
	for _, newHash := range []func() hash.Hash{sha256.New, sha512.New384} {
		k := NewKDF(newHash)
		var none EarlySecret
		zeros := k.EarlySecret(make([]byte, k.Size()))
		for _, shared := range [][]byte{fill(32, 9), nil} {
			again := zeros
			got, want := none.Handshake(k, shared), again.Handshake(k, shared)
			if !bytes.Equal(got.bytes(), want.bytes()) {
				t.Errorf("the Handshake Secret is %x, want %x", got.bytes(), want.bytes())
			}
			k.Clear()
		}
	}
}

func TestExportRefusesWhatCannotBeEncoded(t *testing.T) {
	k := NewKDF(sha256.New)
	early := k.EarlySecret(nil)
	exporter := early.Exporter(k, fill(32, 1))
	for _, tt := range []struct {
		name   string
		label  string
		length int
		want   error
	}{
		{"an empty label", "", 32, ErrExporterLabel},
		{"a label of 250 bytes", strings.Repeat("l", 250), 32, ErrExporterLabel},
		{"a label of 64 KiB", strings.Repeat("l", 1<<16), 32, ErrExporterLabel},
		{"255 hashes and a byte", "label", 255*32 + 1, ErrExporterLength},
		{"64 KiB and 32 bytes", "label", 1<<16 + 32, ErrExporterLength},
	} {
		out := make([]byte, tt.length)
		if err := exporter.Export(k, tt.label, nil, out); !errors.Is(err, tt.want) {
			t.Errorf("%s: the error is %v, want %v", tt.name, err, tt.want)
		}
		if !zero(out) {
			t.Errorf("%s is refused, and yet there is output", tt.name)
		}
	}
}

func TestMACsAreAppended(t *testing.T) {
	k := NewKDF(sha256.New)
	early := k.EarlySecret(nil)
	traffic := early.ClientTraffic(k, fill(32, 1))
	binder := early.Binder(k, true)
	for name, mac := range map[string]func(out []byte) []byte{
		"Finished": func(out []byte) []byte { return traffic.Finished(k, out, fill(32, 2)) },
		"MAC":      func(out []byte) []byte { return binder.MAC(k, out, fill(32, 2)) },
	} {
		alone := mac(nil)
		behind := mac([]byte("header"))
		if len(alone) != k.Size() || string(behind) != "header"+string(alone) {
			t.Errorf("%s does not append a hash to what is there", name)
		}
	}
}

func TestSecretsAreCleared(t *testing.T) {
	k := NewKDF(sha256.New)
	early := k.EarlySecret(nil)
	if !early.Set() {
		t.Error("a derived Early Secret is not Set")
	}
	handshake := early.Handshake(k, nil)
	if early.Set() || !zero(early.b[:]) {
		t.Error("the Early Secret outlives the step to the Handshake Secret")
	}
	main := handshake.Main(k)
	if handshake.Set() || !zero(handshake.b[:]) {
		t.Error("the Handshake Secret outlives the step to the Main Secret")
	}

	traffic := main.ClientTraffic(k, fill(32, 1))
	aliased := traffic.Bytes()
	next := traffic.Next(k)
	if !traffic.Set() {
		t.Error("Next clears the secret that it starts from, which the caller may still need")
	}
	traffic.Clear()
	if traffic.Set() || !zero(aliased) || len(traffic.Bytes()) != 0 {
		t.Error("Clear leaves something of a traffic secret, or of what Bytes returned")
	}
	if !next.Set() {
		t.Error("clearing a generation clears the next one as well")
	}
	var none TrafficSecret
	if none.Set() {
		t.Error("the zero TrafficSecret is Set")
	}
}

func TestNothingAllocates(t *testing.T) {
	for _, h := range hashes {
		k := NewKDF(h.new)
		n := k.Size()
		psk, shared, transcript, context := fill(n, 1), fill(64, 2), fill(n, 3), fill(1000, 4)
		key, iv, mac, long := make([]byte, 32), make([]byte, 12), make([]byte, 0, n), make([]byte, 500)
		allocs := testing.AllocsPerRun(20, func() {
			early := k.EarlySecret(psk)
			binder := early.Binder(k, true)
			binder.MAC(k, mac, transcript)
			earlyTraffic := early.ClientTraffic(k, transcript)
			earlyTraffic.Key(k, key)
			earlyExporter := early.Exporter(k, transcript)
			earlyExporter.Clear()
			handshake := early.Handshake(k, shared)
			client := handshake.ClientTraffic(k, transcript)
			client.Finished(k, mac, transcript)
			server := handshake.ServerTraffic(k, transcript)
			server.Finished(k, mac, transcript)
			main := handshake.Main(k)
			client = main.ClientTraffic(k, transcript)
			server = main.ServerTraffic(k, transcript)
			server = server.Next(k)
			server.Key(k, key)
			server.IV(k, iv)
			exporter := main.Exporter(k, transcript)
			if err := exporter.Export(k, "label", context, long); err != nil {
				t.Fatal(err)
			}
			resumption := main.Resumption(k, transcript)
			resumption.PSK(k, iv, key)
			main.Clear()
			k.Clear()
		})
		if allocs != 0 {
			t.Errorf("%s: a whole key schedule makes %v allocations, want none", h.name, allocs)
		}
	}
}

func BenchmarkSchedule(b *testing.B) {
	for _, h := range hashes {
		b.Run(h.name, func(b *testing.B) { benchmarkSchedule(b, h.new) })
	}
}

// benchmarkSchedule derives what a full handshake needs.
func benchmarkSchedule(b *testing.B, newHash func() hash.Hash) {
	k := NewKDF(newHash)
	shared, transcript := fill(32, 1), fill(k.Size(), 2)
	key, iv, mac := make([]byte, 16), make([]byte, 12), make([]byte, 0, k.Size())
	b.ReportAllocs()
	for b.Loop() {
		early := k.EarlySecret(nil)
		handshake := early.Handshake(k, shared)
		client, server := handshake.ClientTraffic(k, transcript), handshake.ServerTraffic(k, transcript)
		main := handshake.Main(k)
		for _, s := range [...]TrafficSecret{client, server, main.ClientTraffic(k, transcript), main.ServerTraffic(k, transcript)} {
			s.Key(k, key)
			s.IV(k, iv)
		}
		client.Finished(k, mac, transcript)
		server.Finished(k, mac, transcript)
		exporter, resumption := main.Exporter(k, transcript), main.Resumption(k, transcript)
		exporter.Clear()
		resumption.Clear()
	}
}
