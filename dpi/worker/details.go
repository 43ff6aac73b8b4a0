package worker

import (
	"encoding/binary"
	"strings"

	"github.com/weirflow/weir/userspace"
)

// Details follow the eight texts of a verdict: for each that is known its number
// (8 bits), length (16 bits) and octets; a list has an entry for each element.

const (
	factHeader = 3
	// factMax bounds one text, urlMax that of a URL.
	factMax = 255
	urlMax  = 1023
	// elementsMax bounds a list.
	elementsMax = 64
)

// The numbers of details on the wire: those of texts, then of numbers, then of
// lists.
const (
	firstText   = 1
	firstNumber = 100
	firstList   = 200
)

func detailTexts(d *userspace.L7Details) []*string {
	return []*string{
		&d.HTTPURL, &d.Breed, &d.TLSServerName, &d.TLSVersion, &d.TLSCipher, &d.ALPNOffered, &d.ALPNChosen, &d.EncryptedHello, &d.JA4,
		&d.QUICVersion, &d.CertificateIssuer, &d.CertificateSubject, &d.CertificateSHA1, &d.HTTPMethod, &d.HTTPServer,
		&d.HTTPRequestContentType, &d.OperatingSystem, &d.DNSQuery, &d.DNSType, &d.DNSCode, &d.SSHClient, &d.SSHServer, &d.HASSH,
		&d.HASSHServer, &d.DHCPFingerprint, &d.DHCPClass, &d.STUNSoftware, &d.STUNRealm, &d.STUNMapped, &d.RTPPayloadType, &d.RTPSource,
		&d.BitTorrentHash,
	}
}

func detailNumbers(d *userspace.L7Details) []*uint32 {
	return []*uint32{&d.Samples, &d.RiskScore, &d.CertificateNotBefore, &d.CertificateNotAfter, &d.HTTPStatus}
}

func detailLists(d *userspace.L7Details) []*[]string { return []*[]string{&d.Risks, &d.DNSAnswers} }

// appendDetails appends what is known.
func appendDetails(b []byte, d *userspace.L7Details) []byte {
	for i, t := range detailTexts(d) {
		limit := factMax
		if t == &d.HTTPURL {
			limit = urlMax
		}
		if *t != "" {
			b = appendFact(b, firstText+i, (*t)[:min(len(*t), limit)])
		}
	}
	for i, n := range detailNumbers(d) {
		if *n != 0 {
			b = appendFact(b, firstNumber+i, binary.LittleEndian.AppendUint32(nil, *n))
		}
	}
	for i, list := range detailLists(d) {
		for _, t := range (*list)[:min(len(*list), elementsMax)] {
			b = appendFact(b, firstList+i, t[:min(len(t), factMax)])
		}
	}
	return b
}

func appendFact[T string | []byte](b []byte, number int, value T) []byte {
	b = binary.LittleEndian.AppendUint16(append(b, byte(number)), uint16(len(value)))
	return append(b, value...)
}

// parseDetails reads what follows a verdict's texts; nil if nothing does.
func parseDetails(rest []byte) (*userspace.L7Details, error) {
	if len(rest) == 0 {
		return nil, nil
	}
	d := new(userspace.L7Details)
	texts, numbers, lists := detailTexts(d), detailNumbers(d), detailLists(d)
	for len(rest) > 0 {
		if len(rest) < factHeader {
			return nil, &ProtocolError{KindVerdict, "half a detail"}
		}
		number, n := int(rest[0]), int(binary.LittleEndian.Uint16(rest[1:]))
		if len(rest) < factHeader+n {
			return nil, &ProtocolError{KindVerdict, "a detail longer than the verdict"}
		}
		value := rest[factHeader : factHeader+n]
		rest = rest[factHeader+n:]
		switch {
		case within(number, firstText, len(texts)) && n <= urlMax:
			*texts[number-firstText] = strings.ToValidUTF8(string(value), "")
		case within(number, firstNumber, len(numbers)) && n == 4:
			*numbers[number-firstNumber] = binary.LittleEndian.Uint32(value)
		case within(number, firstList, len(lists)) && n <= factMax && len(*lists[number-firstList]) < elementsMax:
			list := lists[number-firstList]
			*list = append(*list, strings.ToValidUTF8(string(value), ""))
		default:
			return nil, &ProtocolError{KindVerdict, "a detail that cannot be"}
		}
	}
	return d, nil
}

func within(number, first, n int) bool { return number >= first && number < first+n }
