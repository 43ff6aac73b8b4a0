// Package ipfix makes IPFIX messages (RFC 7011) of flows. A flow is one record with
// both directions in it (RFC 5103), or one for each direction.
//
// It holds no connection. An Encoder makes records, each behind the set that it
// belongs to and its length; templates are such records, too. Messages gathers
// records in messages, as they go out. So records can wait in a queue, be refused, or
// go out again on another connection, and yet every connection counts its own records.
package ipfix
