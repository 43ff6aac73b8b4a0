package dpi

import (
	"os"

	"github.com/weirflow/weir/loader/sandbox"
)

// A confinement is how much of its starter's privileges the process has not.
type confinement int

// From the strictest on: the next one is for a binary that the process could not
// be made of otherwise, for its mode.
const (
	becomesNobody confinement = iota
	keepsUser
	keepsCapabilities
)

// nobody is who owns nothing, on every Linux.
const nobody = 65534

// enter confines the calling thread, and what it starts. The process does the rest
// itself when it has opened what it needs.
func (level confinement) enter(unconfined bool) error {
	if level == keepsCapabilities {
		return sandbox.ForbidNewPrivileges()
	}
	var c sandbox.Confinement
	if !unconfined {
		// Of what it reads it gets nothing out: it will not write either.
		c.Files = &sandbox.Files{ReadAll: true, Write: []string{os.DevNull}}
		if level == becomesNobody && sandbox.MayBecomeOthers() {
			c.User = &sandbox.User{Name: "nobody", UID: nobody, GID: nobody}
		}
	}
	_, err := c.Enter()
	return err
}
