package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/itsm-automation/gatehouse/internal/core/bom"
)

type adminCommand struct {
	Create adminCreateCommand `cmd:"" help:"Make an operator of the platform (super_admin). The password is asked for, or read from standard input."`

	ResetFactors adminResetCommand `cmd:"" name:"reset-factors" help:"Take all second factors of an operator away, who lost them, and end their sessions."`
}

// adminResetCommand is the way back in for the one operator who lost their phone and their backup codes: there is
// nobody who could reset them by the API.
type adminResetCommand struct {
	Email string `required:"" help:"E-mail address of the operator."`
}

func (a adminResetCommand) Run(c *cli, e *env) error {
	s, err := c.open(e)
	if err != nil {
		return err
	}
	defer closeServer(s, slog.Default())
	u, err := s.ResetOperatorFactors(e.ctx, a.Email)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s has no second factor any more, and no session. The next sign-in asks for a new one "+
		"where one is demanded.\n", u.Email)
	return nil
}

type adminCreateCommand struct {
	Email string `required:"" help:"E-mail address to sign in with."`
	Name  string `help:"Name to show."`
}

func (a adminCreateCommand) Run(c *cli, e *env) error {
	password, err := readPassword(e)
	if err != nil {
		return err
	}
	s, err := c.open(e)
	if err != nil {
		return err
	}
	defer closeServer(s, slog.Default())
	u, err := s.CreateOperator(e.ctx, a.Email, a.Name, password)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s is an operator now (%s).\n", u.Email, u.ID)
	return nil
}

// maxPasswordLine bounds what is read.
const maxPasswordLine = 4096

// readPassword asks on a terminal without showing it, twice, or takes the first line of standard input.
func readPassword(e *env) (string, error) {
	if f, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(e.stderr, "Password (at least 15 characters): ")
		first, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		fmt.Fprint(e.stderr, "Again: ")
		second, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		if string(first) != string(second) {
			return "", errors.New("the two passwords differ")
		}
		return string(first), nil
	}
	line, err := bufio.NewReader(io.LimitReader(e.stdin, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	if line = bom.Skip(strings.TrimRight(line, "\r\n")); line == "" {
		return "", errors.New("no password on standard input: give it as the first line")
	}
	return line, nil
}
