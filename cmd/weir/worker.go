package main

import (
	"github.com/urfave/cli/v2"

	"github.com/weirflow/weir/dpi/worker"
)

// workerCommand is how weir starts itself as the DPI process.
func workerCommand() *cli.Command {
	return &cli.Command{
		Name:   worker.Command,
		Usage:  "classify flows; weir runs this by itself",
		Hidden: true,
		Action: func(*cli.Context) error {
			if code := worker.Main(); code != exitComplete {
				return &codedError{code: code}
			}
			return nil
		},
	}
}
