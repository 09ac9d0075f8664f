// Package nethttp brings net/http and package netconn together: HTTP/1.1 and
// HTTP/2, for servers and clients, over the TLS of baretls.
//
// net/http speaks HTTP/2 over TLS on connections of crypto/tls only. But it also
// speaks HTTP/2 on connections that it takes for unencrypted, and asks nothing
// else of them: that is what it gets here, and the protocol is still the one
// that the handshake has agreed on. [http.Request.TLS] and [http.Response.TLS]
// are set as usual.
package nethttp

// Protocols are the application protocols of this package in order of
// preference: what the NextProtos of a configuration should be.
func Protocols() []string { return []string{protoHTTP2, protoHTTP1} }

const (
	protoHTTP2 = "h2"
	protoHTTP1 = "http/1.1"
)
