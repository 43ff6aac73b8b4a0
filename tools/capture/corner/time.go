package main

import "time"

func timeBehaviours() []behaviour {
	return []behaviour{
		ethernet("idle-timeout", "Gaps just below, at and above 120 s: the timeout itself ends a flow; the new flow takes its direction from its own first packet.", idle()),
		ethernet("active-timeout", "A flow that lasts 90 minutes, a packet every 50 s, and one with a packet at 1800 s exactly: parts of one flow.", active()),
		ethernet("time-backwards", "Packets older than the one before, by microseconds and by minutes, in and across directions: gap 0, first is the earliest.", backwards()),
		ethernet("long-vectors", "Forty packets of changing size, gap and direction: more than first-N vectors hold.", vectors()),
		ethernet("interleaved", "Two hundred flows in turn, among them an idle expiry inside busy neighbours.", interleaved()),
	}
}

func when(t time.Duration, data []byte) packet { return packet{at: t, data: data} }

func idle() []packet {
	var packets []packet
	t := time.Duration(0)
	for i, gap := range []time.Duration{0, 119_999_999 * time.Microsecond, 120 * time.Second, 120_000_001 * time.Microsecond, 300 * time.Second, time.Second} {
		t += gap
		data := etherIP(tcp4(ack, zeros(i)))
		if i%2 == 1 {
			data = etherIP(tcp4Back(ack, zeros(i)))
		}
		packets = append(packets, when(t, data))
	}
	return packets
}

func active() []packet {
	var packets []packet
	for t := time.Duration(0); t <= 90*time.Minute; t += 50 * time.Second {
		data := etherIP(tcp4(ack, zeros(10)))
		if t%(150*time.Second) == 0 && t > 0 {
			data = etherIP(tcp4Back(ack, zeros(20)))
		}
		packets = append(packets, when(t, data))
		if t%(100*time.Second) == 0 { // divides 1800 s
			packets = append(packets, when(t+time.Millisecond, etherIP(udp4(9000, zeros(8)))))
		}
	}
	return packets
}

func backwards() []packet {
	there, back, other := etherIP(tcp4(ack, zeros(5))), etherIP(tcp4Back(ack, zeros(7))), etherIP(udp4(53, zeros(9)))
	var packets []packet
	for i, t := range []time.Duration{10 * time.Minute, 10*time.Minute - time.Microsecond, 10*time.Minute + time.Second,
		10 * time.Minute, time.Minute, 10*time.Minute + 2*time.Second, 9 * time.Minute, 11 * time.Minute, 0, 15 * time.Minute, 14 * time.Minute} {
		packets = append(packets, when(t, [][]byte{there, back, there, other}[i%4]))
	}
	return packets
}

func vectors() []packet {
	var packets []packet
	t := time.Duration(0)
	for i := range 40 {
		t += time.Duration(i*i) * 137 * time.Microsecond
		data := etherIP(tcp4(ack, zeros(i*30)))
		if i%3 == 2 {
			data = etherIP(tcp4Back(ack, zeros(1400-i*10)))
		}
		packets = append(packets, when(t, data), when(t, etherIP(transport(protoUDP, end{b6, 443}, end{a6, 50000}, 0, zeros(i)))))
	}
	return packets
}

func interleaved() []packet {
	var packets []packet
	t := time.Duration(0)
	for round := range 4 {
		for flow := range 200 {
			t += 200 * time.Millisecond
			if flow%7 == 3 && round%3 != 0 {
				continue // quiet for longer than the idle timeout
			}
			client, server := end{a4, uint16(10000 + flow)}, end{b4, 443}
			if round%2 == 1 {
				client, server = server, client
			}
			packets = append(packets, when(t, etherIP(transport(protoTCP, client, server, ack, zeros(flow)))))
		}
	}
	return packets
}
