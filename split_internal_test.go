package baretls

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// SecretsKept tells which secrets the halves have not cleared.
func SecretsKept(r *ReadHalf) (kept []string) {
	core := reflect.ValueOf(r.conn.core).Elem()
	memory := core.FieldByName("kept").Elem().Elem() // an array, or a struct of TLS 1.2
	if memory.Kind() == reflect.Struct {
		if !memory.FieldByName("main").IsZero() {
			kept = append(kept, "main12")
		}
		return kept
	}
	secrets, size := memory.Bytes(), 32
	if r.conn.core.Facts.Suite == tls.TLS_AES_256_GCM_SHA384 {
		size = 48
	}
	for i, name := range []string{"writeSecret", "readSecret", "exporter", "resumption"} {
		if secret := secrets[min(i*size, len(secrets)):min((i+1)*size, len(secrets))]; !bytes.Equal(secret, make([]byte, len(secret))) {
			kept = append(kept, name)
		}
	}
	return kept
}

// SetLastEpoch lets the writer have changed its keys as often as it may.
func SetLastEpoch(w *WriteHalf) {
	epoch := reflect.ValueOf(w.conn.core).Elem().FieldByName("writeEpoch")
	*(*uint64)(unsafe.Pointer(epoch.UnsafeAddr())) = 1<<48 - 1
}
