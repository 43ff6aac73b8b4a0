package differential

import (
	"github.com/weirflow/weir/tools/captures"
	"github.com/weirflow/weir/userspace"
)

// StepsOf are packets as both meters take them.
func StepsOf(list []userspace.CapturedPacket) (steps []Step) {
	for _, p := range list {
		steps = append(steps, Step{Data: p.Data, Length: p.Length, TimeNs: p.TimeNs})
	}
	return steps
}

// Load reads a capture as captures.Load does.
func Load(path string, shortest int) (byLink map[uint32][]Step, short int, err error) {
	packets, short, err := captures.Load(path, shortest)
	if err != nil {
		return nil, 0, err
	}
	byLink = map[uint32][]Step{}
	for link, list := range packets {
		byLink[link] = StepsOf(list)
	}
	return byLink, short, nil
}
