package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicServer answers every request over HTTP/3 with 20,000 octets of text.
func quicServer(args []string) error {
	page := bytes.Repeat([]byte("weir counts what flows over it.\n"), 625)
	server := http3.Server{
		Addr: args[0],
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Write(page) //nolint:errcheck // a client that went away is its own affair
		}),
	}
	if err := server.ListenAndServeTLS(args[1], args[2]); err != nil {
		return fmt.Errorf("serve HTTP/3 on %s: %w", args[0], err)
	}
	return nil
}

// quicClient fetches the paths one after another over one connection.
func quicClient(args []string) error {
	addr, host, cert := args[0], args[1], args[2]
	pem, err := os.ReadFile(cert)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		Dial: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, addr, t, q)
		},
	}
	defer transport.Close()
	for _, path := range args[3:] {
		if err := fetch(transport, "https://"+host+path); err != nil {
			return err
		}
	}
	return nil
}

func fetch(transport http.RoundTripper, url string) error {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", url, err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", url, err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("fetch %s: read body: %w", url, err)
	}
	return nil
}
