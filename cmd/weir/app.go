package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// run runs weir with the arguments that follow its name, and returns its exit
// code.
func run(env *environment, args []string) int {
	app := newApp(env)
	help := &helpWriter{Writer: env.stdout}
	app.Writer = help
	env.args = args
	args, err := flagsFirst(app, args)
	if err == nil {
		err = app.RunContext(context.Background(), append([]string{app.Name}, args...))
	}
	if err == nil {
		err = help.err
	}
	if !told(err) {
		speaker{to: env.stderr}.always("%s", oneLine(err))
	}
	return exitCode(err)
}

func newApp(env *environment) *cli.App {
	app := &cli.App{
		Name:      "weir",
		Usage:     "meter network traffic, and account for every packet",
		UsageText: "weir COMMAND [OPTIONS] [ARGUMENTS]",
		Writer:    env.stdout,
		ErrWriter: env.stderr,
		Commands: []*cli.Command{
			attachCommand(env), consumeCommand(env), statusCommand(env), detachCommand(env), replayCommand(env), schemaCommand(env),
			protocolsCommand(env), doctorCommand(env), versionCommand(env), workerCommand(),
		},
		HideVersion:               true,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // a path may hold a comma
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return &usageError{err: twoDashes(err)}
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{err: fmt.Errorf("no command is called %q", c.Args().First())}
			}
			return &usageError{err: errors.New("a command is missing")}
		},
	}
	for _, c := range app.Commands {
		c.HideHelpCommand = true
		c.OnUsageError = func(_ *cli.Context, err error, _ bool) error {
			return &usageError{c.Name, twoDashes(err)}
		}
	}
	return app
}

// oneLine keeps an error to a line: joined errors are told apart by a
// semicolon.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(c rune) bool { return c == '\n' }), "; ")
}

// flagsFirst moves a command's flags before its other arguments, where the flag
// parser looks for them: "attach eth0 --duration 5s" is said as often as the
// other way round. What follows "--" stays as it is.
func flagsFirst(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 || app.Command(args[0]) == nil {
		return args, nil
	}
	command := app.Command(args[0])
	takesValue := valueFlags(command)
	flags, rest := []string{args[0]}, []string{}
	for args = args[1:]; len(args) > 0; args = args[1:] {
		a := args[0]
		switch {
		case a == "--":
			return slices.Concat(flags, []string{a}, rest, args[1:]), nil
		case len(a) < 2 || a[0] != '-':
			rest = append(rest, a)
		case !takesValue[strings.TrimLeft(a, "-")]:
			flags = append(flags, a)
		case len(args) == 1:
			return nil, &usageError{command.Name, fmt.Errorf("flag %s wants a value", a)}
		default:
			flags = append(flags, a, args[1])
			args = args[1:]
		}
	}
	return slices.Concat(flags, []string{"--"}, rest), nil
}

// valueFlags are the names of the flags that take the next argument.
func valueFlags(c *cli.Command) map[string]bool {
	names := map[string]bool{}
	for _, f := range c.Flags {
		if d, ok := f.(cli.DocGenerationFlag); ok && d.TakesValue() {
			for _, name := range f.Names() {
				names[name] = true
			}
		}
	}
	return names
}

var oneDash = regexp.MustCompile(`(for flag |for |not defined: )-(\w{2})`)

// twoDashes spells flags in the parser's messages as they are written here.
func twoDashes(err error) error { return errors.New(oneDash.ReplaceAllString(err.Error(), "$1--$2")) }
