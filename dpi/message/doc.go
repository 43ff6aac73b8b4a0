// Package message reads single messages of protocols that need no state: DNS,
// STUN and RTP. It is for what libndpi keeps only in part, such as the first
// address of a DNS answer.
//
// The octets are strangers'. Nothing is read past them, what is returned is
// bounded, and every text is valid UTF-8.
package message

import "strings"

// textMax bounds a text taken from a message.
const textMax = 255

// clean is text as valid UTF-8 of at most textMax octets.
func clean(text string) string {
	if len(text) > textMax {
		text = text[:textMax]
	}
	return strings.ToValidUTF8(text, "")
}
