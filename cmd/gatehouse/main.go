// Command gatehouse is the whole server and its administration: one binary, one file a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
)

// version is set by the build.
var version = "dev"

type cli struct {
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`

	Config string `short:"c" help:"Configuration file (YAML); GATEHOUSE_* variables win over it." type:"path" env:"GATEHOUSE_CONFIG"`

	Demo    demoCommand        `cmd:"" help:"Run a demo on embedded storage in a temporary folder."`
	Serve   serveCommand       `cmd:"" help:"Run the server."`
	Migrate migrateCommand     `cmd:"" help:"Bring the database schema up to date."`
	Backup  backupCommand      `cmd:"" help:"Copy the SQLite database to a file, while the server runs."`
	Restore restoreCommand     `cmd:"" help:"Put a backup in place, and let nothing that was revoked since come back to life."`
	Ready   readyCommand       `cmd:"" help:"Ask the server on this machine whether it is ready."`
	Doctor  doctorCommand      `cmd:"" help:"Check an installation and say what to do about what is wrong."`
	ConfigC configCommand      `cmd:"" name:"config" help:"Look at the configuration."`
	Admin   adminCommand       `cmd:"" help:"Manage the platform's operators."`
	Keys    keysCommand        `cmd:"" help:"Manage the signing keys."`
	Key     keyCommand         `cmd:"" help:"Manage API keys."`
	Token   tokenCommand       `cmd:"" help:"Manage access tokens and application tokens of users."`
	System  systemCommand      `cmd:"" help:"Manage system access tokens."`
	Client  clientCommand      `cmd:"" help:"Manage OAuth clients."`
	Conn    connectionCommand  `cmd:"" name:"connection" help:"Manage connections to organizations' identity providers."`
	Domain  domainCommand      `cmd:"" help:"Manage the domains of organizations."`
	Creds   credentialsCommand `cmd:"" name:"credentials" help:"Look at all long-lived credentials."`
	OpenAPI openapiCommand     `cmd:"" name:"openapi" help:"Print the OpenAPI document of the API."`
	Version versionCommand     `cmd:"" help:"Print the version."`
	Help    helpCommand        `cmd:"" help:"Show help for a command."`

	Completion completionCommand `cmd:"" help:"Print what makes a shell complete commands and flags."`
	Man        manCommand        `cmd:"" help:"Print the manual page."`
}

// env is what a command may touch of the world.
type env struct {
	ctx    context.Context
	getenv func(string) string
	set    []string // all variables, as name=value
	parser *kong.Kong
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// gcPercent lets the heap of a busy server grow further between collections than Go's 100: the live heap is small, so
// most of the collector's work would be repeated for little. GOGC wins over it.
const gcPercent = 200

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(os.Args[1:], &env{ctx: ctx, getenv: os.Getenv, set: os.Environ(), stdin: os.Stdin, stdout: os.Stdout,
		stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// The exit codes: 0 done, 1 it failed, 2 the command line or the configuration is wrong.
const (
	exitFailed = 1
	exitUsage  = 2
)

var errConfiguration = errors.New("the configuration has faults")

func run(args []string, e *env) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("gatehouse"),
		kong.Description("Authentication and authorization for multi-tenant APIs."),
		kong.Writers(e.stdout, e.stderr), kong.Exit(func(code int) { exited = code }), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Vars{"version": version},
		kong.TypeMapper(reflect.TypeFor[time.Duration](), durations))
	if err != nil {
		fmt.Fprintln(e.stderr, "gatehouse:", err)
		return exitFailed
	}
	e.parser = parser
	if line := e.getenv("COMP_LINE"); line != "" { // a shell asks, as completionCommand told it to
		complete(parser.Model.Node, line, e.stdout)
		return 0
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err == nil && exited < 0 {
		err = kctx.Run(&c, e)
	}
	var usage *kong.ParseError
	switch {
	case exited >= 0: // it was asked for help, or for the version
		return exited
	case err == nil:
		return 0
	}
	fmt.Fprintln(e.stderr, "gatehouse:", fault.Plain(err))
	if errors.As(err, &usage) || errors.Is(err, errConfiguration) {
		return exitUsage
	}
	return exitFailed
}

// durations are written as in the configuration: 12h, 30d.
var durations kong.MapperFunc = func(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := config.ParseDuration(text)
	target.SetInt(int64(d))
	return err
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command; all of them if left out."`
}

func (h helpCommand) Run(e *env) error {
	_, err := e.parser.Parse(append(h.Command, "--help"))
	return err
}

type versionCommand struct{}

func (versionCommand) Run(e *env) error {
	fmt.Fprintln(e.stdout, version)
	return nil
}
