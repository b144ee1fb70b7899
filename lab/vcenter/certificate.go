package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// thumbprintOf is that of a certificate in PEM, by SHA-1, as a vCenter tells it.
func thumbprintOf(text string) string {
	block, _ := pem.Decode([]byte(text))
	pairs := []string{}
	for _, part := range sha1.Sum(block.Bytes) {
		pairs = append(pairs, fmt.Sprintf("%02X", part))
	}
	return strings.Join(pairs, ":")
}

// selfSigned makes a certificate that vouches for itself, as a vCenter has it out of the box.
func selfSigned() (*tls.Config, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "vcenter.invalid"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:              []string{"localhost"},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	// The real one speaks HTTP/1.1.
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}, string(text), nil
}
