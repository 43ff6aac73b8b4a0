package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/userspace/sink"
)

// tlsSettings are how outputs over TLS prove who they are, and whom they trust.
type tlsSettings struct {
	ca, certificate, key string // files
	name                 string // of the server, where it is not the output's
}

func (t *tlsSettings) flags() []cli.Flag {
	flag := func(name string, to *string, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Destination: to, Category: categoryOutput, Usage: usage}
	}
	return []cli.Flag{
		flag("tls-ca", &t.ca, "trust collectors whose certificates those in `FILE` have signed (default: those that the system trusts)"),
		flag("tls-certificate", &t.certificate, "show collectors the certificate in `FILE`, in PEM, with --tls-key"),
		flag("tls-key", &t.key, "the private key of --tls-certificate is in `FILE`, in PEM, not encrypted"),
		flag("tls-server-name", &t.name, "collectors' certificates are for `NAME` (default: HOST of tls://HOST:PORT)"),
	}
}

// check refuses what means nothing.
func (t *tlsSettings) check(outputs []string) error {
	switch {
	case *t == tlsSettings{}:
		return nil
	case !overTLS(outputs):
		return errors.New("--tls-… mean nothing without an output at tls://HOST:PORT")
	case (t.certificate == "") != (t.key == ""):
		return errors.New("--tls-certificate and --tls-key go together")
	}
	return nil
}

func overTLS(outputs []string) bool {
	return slices.ContainsFunc(outputs, func(spec string) bool {
		_, path, err := sink.Parse(spec)
		network, _, _ := sink.Remote(path)
		return err == nil && network == "tls"
	})
}

// config reads the files. What it says of one never has anything of its contents.
func (t *tlsSettings) config() (*tls.Config, error) {
	c := &tls.Config{ServerName: t.name, MinVersion: tls.VersionTLS12}
	var err error
	if c.RootCAs, err = t.roots(); err != nil {
		return nil, err
	}
	if t.certificate == "" {
		return c, nil
	}
	own, err := tls.LoadX509KeyPair(t.certificate, t.key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s and its key %s: %w: both are to be in PEM, the key not encrypted", t.certificate, t.key, err)
	}
	c.Certificates = []tls.Certificate{own}
	return c, nil
}

func (t *tlsSettings) roots() (*x509.CertPool, error) {
	if t.ca == "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("read the certificates that the system trusts: %w: name a file of them with --tls-ca", err)
		}
		return pool, nil
	}
	text, err := os.ReadFile(t.ca)
	if err != nil {
		return nil, fmt.Errorf("read --tls-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read --tls-ca: %s holds no certificate in PEM", t.ca)
	}
	return pool, nil
}

// systemRoots are where distributions keep what the system trusts; Go reads the first
// that there is.
var systemRoots = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// reads are the files that config will read: those that were named, and the system's.
func (t *tlsSettings) reads() (named, system []string) {
	for _, path := range []string{t.ca, t.certificate, t.key} {
		if path != "" {
			named = append(named, path)
		}
	}
	if t.ca != "" {
		return named, nil
	}
	if path := os.Getenv("SSL_CERT_FILE"); path != "" {
		return named, []string{path}
	}
	return named, systemRoots
}
