// Package netconn makes a net.Conn of a baretls connection and a socket.
//
// [Dial], [Listen] and their kin are used like those of crypto/tls, with the
// configurations of baretls. [Client] and [Server] put TLS on top of a net.Conn
// that is there already, and [UpgradeClient] and [UpgradeServer] do so in the
// middle of a protocol like SMTP.
//
// # Handshake
//
// [Conn.Handshake] and [Conn.HandshakeContext] do the handshake; without them
// the first Read or Write does. It receives under the read deadline and sends
// under the write deadline of the connection. A deadline that passes costs
// nothing: the handshake goes on with the next call. Any other failure is
// final, and every later call returns the same error.
//
// # Reading and writing
//
// All methods may be called by any goroutine at any time, but for functions of
// the configuration, which must not call methods of their Conn. Reads wait for
// reads and writes for writes, but once the handshake is complete, never for
// each other. Read returns io.EOF after the peer's close_notify and only then.
// The end of the socket without it is io.ErrUnexpectedEOF, by errors.Is: data
// may be missing.
//
// A write deadline that passes costs nothing either. Write returns how much of
// its data is committed; what of that the socket has not taken yet is kept, at
// most 32 KiB, and sent first by the next Write, CloseWrite or Close. If the rest
// of the data is never written, the connection ends without a close_notify, so
// that the peer does not take what it has got for all.
//
// # Memory
//
// A Conn has buffers as long as there is something in them. They come from
// pools and go back there, before Read waits for a TCP or Unix socket too, so
// that an idle connection holds none. Other connections are waited for with
// the 5 bytes of a record's header.
package netconn
