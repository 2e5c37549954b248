// Command gatehouse is the whole server and its administration: one binary, one file a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// version is set by the build.
var version = "dev"

type cli struct {
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
	Creds   credentialsCommand `cmd:"" name:"credentials" help:"Look at all long-lived credentials."`
	OpenAPI openapiCommand     `cmd:"" name:"openapi" help:"Print the OpenAPI document of the API."`
	Version versionCommand     `cmd:"" help:"Print the version."`
}

// env is what a command may touch of the world.
type env struct {
	ctx    context.Context
	getenv func(string) string
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
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes: 0 done, 1 it failed, 2 the command line or the configuration is wrong.
const (
	exitFailed = 1
	exitUsage  = 2
)

var errConfiguration = errors.New("the configuration has faults")

func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout,
	stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("gatehouse"),
		kong.Description("Authentication and authorization for multi-tenant APIs."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return exitFailed
	}
	kctx, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return exitUsage
	}
	err = kctx.Run(&c, &env{ctx, getenv, stdin, stdout, stderr})
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "gatehouse:", message(err))
	if errors.Is(err, errConfiguration) {
		return exitUsage
	}
	return exitFailed
}

// message shows a person the sentence of a classified failure, and the whole of any other.
func message(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind != fault.Internal {
		text := strings.TrimSuffix(f.Message, ".")
		if len(f.Fields) > 1 || len(f.Fields) == 1 && !strings.HasPrefix(f.Message, f.Fields[0].Field) {
			for _, field := range f.Fields {
				text += "\n  " + field.Field + ": " + field.Message
			}
		}
		return text
	}
	return err.Error()
}

type versionCommand struct{}

func (versionCommand) Run(e *env) error {
	fmt.Fprintln(e.stdout, version)
	return nil
}
