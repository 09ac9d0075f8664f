// Package bogo runs the test runner of BoringSSL against baretls: see README.md.
package bogo
