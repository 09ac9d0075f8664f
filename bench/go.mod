module github.com/baretls/baretls/bench

go 1.26.0

require (
	github.com/baretls/baretls v0.0.0
	golang.org/x/crypto v0.58.0
)

require golang.org/x/sys v0.49.0

require filippo.io/edwards25519 v1.2.0 // indirect

replace github.com/baretls/baretls => ../
