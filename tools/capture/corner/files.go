package main

import "time"

func fileBehaviours() []behaviour {
	return []behaviour{
		ethernet("big-frames", "Frames of up to 65,000 octets of which 200 were captured: octets are the original ones.", bigFrames()),
		ethernet("snap-cut", "The same IPv4 and IPv6 packets, captured to every length from 0: headers that are not there are a status.", snapCut()),
		formats(),
		{"empty", "A capture without a packet, in both formats: no flow, and no error.", []file{
			{"empty.pcap", nil, pcapOf(linkEthernet)}, {"empty.pcapng", nil, pcapng},
		}},
	}
}

func bigFrames() []packet {
	var packets []packet
	for i, length := range []int{1514, 9014, 65000, 65535, 65549} {
		ip := patched(tcp4(ack, zeros(146)), 2, byte((length-14)>>8), byte(length-14))
		if length-14 > 65535 {
			ip = patched(ip, 2, 0, 0)
		}
		packets = append(packets, packet{at: time.Duration(i) * time.Millisecond, data: etherIP(ip), length: length})
	}
	return packets
}

func snapCut() []packet {
	var packets []packet
	for _, whole := range [][]byte{
		etherIP(tcp4(ack, zeros(6))), etherIP(tcp6(ack, zeros(6))), etherIP(udp4(53, zeros(6))),
		eth(typeVLAN, tag(1, typeIPv4, udp4(53, zeros(6)))),
		etherIP(chain([]byte{hopByHop, destination}, protoTCP, segment(tcp6(ack, zeros(6))))),
		etherIP(udp4(4789, join(vxlanHeader(8, 1), etherIP(udp4(53, zeros(6)))))),
	} {
		for n := 0; n <= len(whole); n++ {
			packets = append(packets, packet{at: time.Duration(len(packets)) * time.Millisecond, data: whole[:n], length: len(whole)})
		}
	}
	return packets
}

// conversation has times that microseconds do not hold.
func conversation() []packet {
	frames := etherIPs(tcp4(syn, nil), tcp4Back(syn|ack, nil), tcp4(ack, nil), tcp4(ack|8, []byte("GET / HTTP/1.0\r\n\r\n")), tcp4Back(ack, zeros(300)))
	packets := make([]packet, len(frames))
	for i, f := range frames {
		packets[i] = packet{at: time.Duration(i)*1234567*time.Nanosecond + 999, data: f}
	}
	return packets
}

func formats() behaviour {
	mixed := conversation()
	for _, p := range conversation() {
		mixed = append(mixed, packet{at: p.at, data: p.data[14:], iface: 1})
	}
	return behaviour{"formats", "One conversation as pcap in microseconds and nanoseconds and big-endian, as pcapng with two interfaces of different link types, and packed with gzip and zstd.", []file{
		{"micro.pcap", conversation(), pcapOf(linkEthernet)}, {"nano.pcap", conversation(), pcapNanos},
		{"big-endian.pcap", conversation(), pcapBigEndian}, {"two-interfaces.pcapng", mixed, pcapng},
		{"gzip.pcap.gz", conversation(), gzipped}, {"zstd.pcap.zst", conversation(), zstandard},
	}}
}
