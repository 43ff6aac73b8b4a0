package sandbox

import (
	"fmt"
	"math"
	"os"
	"os/user"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A User is whom a process acts as.
type User struct {
	Name   string // as it was asked for
	UID    int
	GID    int
	Groups []int // besides GID
}

// LookUpUser finds a user by name or by number. A number that no user has is taken
// as it is, for the group too.
func LookUpUser(name string) (*User, error) {
	found, err := user.Lookup(name)
	number, numeric := userNumber(name)
	if err != nil && numeric {
		if found, err = user.LookupId(strconv.Itoa(number)); err != nil {
			return &User{Name: name, UID: number, GID: number}, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("find the user %q: %w: name one of this machine, or a number", name, err)
	}
	u := &User{Name: found.Username}
	if u.UID, err = strconv.Atoi(found.Uid); err == nil {
		u.GID, err = strconv.Atoi(found.Gid)
	}
	if err != nil {
		return nil, fmt.Errorf("find the user %q: %w", name, err)
	}
	ids, err := found.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("find the groups of %s: %w", name, err)
	}
	for _, id := range ids {
		if gid, err := strconv.Atoi(id); err == nil && gid != u.GID {
			u.Groups = append(u.Groups, gid)
		}
	}
	return u, nil
}

// userNumber is a number that a user can have. The greatest of 32 bits is none: for the
// kernel it means to stay who one is, and a greater one is another without its upper bits.
func userNumber(name string) (number int, numeric bool) {
	n, err := strconv.ParseUint(name, 10, 32)
	return int(n), err == nil && n < math.MaxUint32
}

// MayBecomeOthers tells whether the calling thread can become another user.
func MayBecomeOthers() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if unix.Capget(&header, &sets[0]) != nil {
		return false
	}
	const both = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	return sets[0].Effective&both == both
}

// become makes the calling thread the user's. The system calls are made directly:
// the library's functions are for whole processes.
func (u *User) become() error {
	groups := make([]uint32, len(u.Groups), len(u.Groups)+1) // never nil
	for i, gid := range u.Groups {
		groups[i] = uint32(gid)
	}
	list := unsafe.Pointer(unsafe.SliceData(groups))
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(list), 0); errno != 0 {
		return fmt.Errorf("become %s: give up groups: %w", u.Name, errno)
	}
	gid, uid := uintptr(u.GID), uintptr(u.UID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return fmt.Errorf("become %s: take group %d: %w", u.Name, u.GID, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return fmt.Errorf("become %s: take user %d: %w", u.Name, u.UID, errno)
	}
	return nil
}

// As runs do as the user would, without any capability, on a thread of its own. It
// is for looking: what do starts has not what a Confinement leaves.
func (u *User) As(do func() error) (err error) {
	OnThread(func() {
		c := Confinement{User: u}
		if !MayBecomeOthers() {
			c.User = nil
		}
		if err = c.shedPrivilege(); err == nil {
			err = do()
		}
	})
	return err
}

// Myself is who this process acts as.
func Myself() (*User, error) {
	groups, err := os.Getgroups()
	if err != nil {
		return nil, fmt.Errorf("list the groups of this process: %w", err)
	}
	return &User{Name: strconv.Itoa(os.Geteuid()), UID: os.Geteuid(), GID: os.Getegid(), Groups: groups}, nil
}
