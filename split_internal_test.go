package baretls

import (
	"reflect"
	"unsafe"
)

// SecretsKept tells which secrets the halves have not cleared.
func SecretsKept(r *ReadHalf) (kept []string) {
	core := reflect.ValueOf(r.conn.core).Elem()
	for _, name := range []string{"readSecret", "writeSecret", "exporter", "resumption"} {
		if x := core.FieldByName("secrets13"); !x.IsNil() && x.Elem().FieldByName(name).FieldByName("n").Uint() != 0 {
			kept = append(kept, name)
		}
	}
	if x := core.FieldByName("secrets12"); !x.IsNil() && !x.Elem().FieldByName("main").IsZero() {
		kept = append(kept, "main12")
	}
	return kept
}

// SetLastEpoch lets the writer have changed its keys as often as it may.
func SetLastEpoch(w *WriteHalf) {
	epoch := reflect.ValueOf(w.conn.core).Elem().FieldByName("writeEpoch")
	*(*uint64)(unsafe.Pointer(epoch.UnsafeAddr())) = 1<<48 - 1
}
