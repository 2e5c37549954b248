package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
)

const (
	callTimeout = 50 * time.Millisecond
	restFor     = time.Second // after a failure
	redialEvery = time.Second
	pushLife    = time.Minute
	queueLength = 4096
	countLife   = 2 * time.Minute

	// What stands between the installation's prefix and the name of a fact, of a pushed message and of a count.
	facts  = "f:"
	pushed = "i:"
	counts = "c:"
)

// Client talks to one server, a Sentinel or a cluster. It is safe for concurrent use, and works, as nothing, while
// there is no server.
type Client struct {
	option rueidis.ClientOption
	prefix string
	log    *slog.Logger

	client  atomic.Pointer[rueidis.Client]
	restsTo atomic.Int64 // nanoseconds since start
	start   time.Time
	up      atomic.Bool
	trouble atomic.Pointer[error] // why the last try to connect, or the last call, failed

	puts   chan put
	pushes chan string

	stop    context.CancelFunc
	running sync.WaitGroup
}

type put struct {
	key, value string
	life       time.Duration
}

// Check tells what is wrong with an address such as redis://user:password@host:6379/0 or rediss://host.
func Check(address string) error {
	_, err := parse(address)
	return err
}

func parse(address string) (rueidis.ClientOption, error) {
	_, behind, _ := strings.Cut(address, "://")
	behind = behind[strings.IndexAny(behind+"/", "/?#"):]
	option, err := rueidis.ParseURL(address)
	// Where an @ comes later, what stands before it would be taken for a host or a port, and be told.
	if err != nil || strings.ContainsAny(behind, "@#") {
		// the library's error may quote the password
		return option, errors.New("must be redis://user:password@host:6379/0, or rediss:// with TLS, without quotes " +
			"around it; in the password write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25")
	}
	return option, nil
}

// New makes a client; Start connects it. All its keys begin with prefix. heard is told what other nodes push.
func New(address, prefix string, log *slog.Logger, heard func(messages []string)) (*Client, error) {
	option, err := parse(address)
	if err != nil {
		return nil, err
	}
	c := &Client{prefix: prefix, log: log, start: time.Now(), puts: make(chan put, queueLength),
		pushes: make(chan string, queueLength)}
	option.ConnWriteTimeout = time.Second
	option.Dialer.Timeout = time.Second
	option.DisableRetry = true
	option.CacheSizeEachConn = 1 << 10 // facts are cached decoded, by us
	pushPrefix := prefix + pushed
	option.ClientTrackingOptions = []string{"PREFIX", pushPrefix, "BCAST", "NOLOOP"}
	option.OnInvalidations = func(keys []rueidis.RedisMessage) {
		var messages []string
		for _, k := range keys {
			if name, err := k.ToString(); err == nil && strings.HasPrefix(name, pushPrefix) {
				messages = append(messages, name[len(pushPrefix):])
			}
		}
		if len(messages) > 0 { // a lost connection loses nothing: the database tells, too
			heard(messages)
		}
	}
	c.option = option
	return c, nil
}

// Start connects in the background, again and again until it succeeds; after that the library reconnects by itself.
func (c *Client) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	c.running.Go(func() {
		for warned := false; ctx.Err() == nil; {
			client, err := rueidis.NewClient(c.option)
			if err == nil {
				c.client.Store(&client)
				c.up.Store(true)
				c.write(ctx, client)
				return
			}
			err = c.reason(err)
			if c.trouble.Store(&err); !warned {
				c.log.Warn("Redis cannot be used; the server works without it", "error", err)
				warned = true
			}
			select {
			case <-ctx.Done():
			case <-time.After(redialEvery):
			}
		}
	})
}

// Close lets the connections go.
func (c *Client) Close() {
	if c.stop == nil {
		return
	}
	c.stop()
	c.running.Wait()
	if client := c.client.Load(); client != nil {
		(*client).Close()
	}
}

// write sends what waits, many commands at a time. What does not get through is dropped.
func (c *Client) write(ctx context.Context, client rueidis.Client) {
	const most = 64
	for {
		var batch []rueidis.Completed
		add := func(p put, m string) {
			if m != "" {
				batch = append(batch, client.B().Set().Key(c.prefix+pushed+m).Value("").Px(pushLife).Build())
			} else {
				batch = append(batch, client.B().Set().Key(p.key).Value(p.value).Px(p.life).Build())
			}
		}
		select {
		case <-ctx.Done():
			return
		case m := <-c.pushes:
			add(put{}, m)
		case p := <-c.puts:
			add(p, "")
		}
		for more := true; more && len(batch) < most; {
			select {
			case m := <-c.pushes:
				add(put{}, m)
			default:
				select {
				case m := <-c.pushes:
					add(put{}, m)
				case p := <-c.puts:
					add(p, "")
				default:
					more = false
				}
			}
		}
		if !c.rested() {
			continue
		}
		call, cancel := context.WithTimeout(ctx, callTimeout)
		for _, r := range client.DoMulti(call, batch...) {
			if err := r.Error(); err != nil {
				c.judge(err)
				break
			}
		}
		cancel()
	}
}

func (c *Client) rested() bool { return int64(time.Since(c.start)) >= c.restsTo.Load() }

// failed lets the server rest: while it is slow or gone, nobody waits for it.
func (c *Client) failed(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	c.restsTo.Store(int64(time.Since(c.start) + restFor))
	err = c.reason(err)
	if c.trouble.Store(&err); c.up.Swap(false) {
		c.log.Warn("Redis does not answer; the server works without it", "error", err)
	}
}

// reason is what the server said, or what became of the connection, in one line and without the password: an old server
// quotes the command that it does not know, with all its words.
func (c *Client) reason(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	text, _, _ = strings.Cut(text, ", with args beginning with")
	if !strings.Contains(text, "NOPERM") && (errors.Is(err, rueidis.ErrNoCache) || strings.Contains(text, "`HELLO`")) {
		text = "the server speaks an old protocol, without RESP3 or CLIENT TRACKING: " + text
	}
	if p := c.option.Password; p != "" {
		text = strings.ReplaceAll(text, p, "…")
	}
	return errors.New(text)
}

// Trouble tells why Redis cannot be used; nil: it can, or nothing is known yet.
func (c *Client) Trouble() error {
	if err := c.trouble.Load(); err != nil && !c.Up() {
		return *err
	}
	return nil
}

// judge tells a server that does not answer from one that answers with an error, such as that it has no room.
func (c *Client) judge(err error) {
	if _, answer := rueidis.IsRedisErr(err); !answer {
		c.failed(err)
	}
}

func (c *Client) answered() {
	if !c.up.Swap(true) {
		c.log.Info("Redis answers again")
	}
}

var errResting = errors.New("Redis is not connected, or it failed a moment ago")

// ready gives the client and a deadline for one call.
func (c *Client) ready(ctx context.Context) (rueidis.Client, context.Context, context.CancelFunc, error) {
	client := c.client.Load()
	if client == nil || !c.rested() {
		return nil, nil, nil, errResting
	}
	if err := failpoint.Hit(ctx, "redis"); err != nil {
		return nil, nil, nil, err
	}
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	return *client, call, cancel, nil
}

// Up tells whether the last call was answered.
func (c *Client) Up() bool { return c.up.Load() }

// Get reads a fact.
func (c *Client) Get(ctx context.Context, key string) (string, bool) {
	client, call, cancel, err := c.ready(ctx)
	if err != nil {
		return "", false
	}
	defer cancel()
	value, err := client.Do(call, client.B().Get().Key(c.prefix+facts+key).Build()).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		c.judge(err)
		return "", false
	}
	c.answered()
	return value, err == nil
}

// Put keeps a fact for the other nodes, soon or, when there is too much to do, not at all.
func (c *Client) Put(key, value string, life time.Duration) {
	if c.client.Load() == nil {
		return
	}
	select {
	case c.puts <- put{c.prefix + facts + key, value, life}:
	default:
	}
}

// Push tells the other nodes what changed. It does not wait: they hear it from the database in any case.
func (c *Client) Push(messages []string) {
	if c.client.Load() == nil {
		return
	}
	for _, m := range messages {
		select {
		case c.pushes <- m:
		default:
		}
	}
}

// addScript adds to a counter that is at least what the caller knows of, so that a lost or altered one is lifted again.
var addScript = rueidis.NewLuaScript(`
local used = tonumber(redis.call('GET', KEYS[1]) or '') or 0
local known = tonumber(ARGV[2])
if used < known then used = known end
used = used + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', used), 'PX', ARGV[3])
return used`)

// Add counts n more uses of a key in a minute, of which at least known are used, and gives the sum over all nodes.
func (c *Client) Add(ctx context.Context, k invalidation.Key, minute, n, known int64) (used int64, err error) {
	client, call, cancel, err := c.ready(ctx)
	if err != nil {
		return 0, err
	}
	defer cancel()
	name := c.prefix + counts + strconv.FormatInt(minute, 10) + ":" + string(k.Organization) + ":" + k.ID
	used, err = addScript.Exec(call, client, []string{name},
		[]string{strconv.FormatInt(n, 10), strconv.FormatInt(known, 10),
			strconv.FormatInt(countLife.Milliseconds(), 10)}).AsInt64()
	if err != nil {
		c.judge(err)
		return 0, fmt.Errorf("count in Redis: %w", err)
	}
	c.answered()
	return used, nil
}

// Probe does, once, what the server does with Redis, for doctor: the user may lack a right, or the server room.
func (c *Client) Probe(ctx context.Context) error {
	client := c.client.Load()
	if client == nil {
		return errResting
	}
	fact, pushing, count := c.prefix+facts+"doctor", c.prefix+pushed+"doctor", c.prefix+counts+"doctor"
	b := (*client).B()
	for _, r := range (*client).DoMulti(ctx, b.Set().Key(fact).Value("").Px(time.Second).Build(),
		b.Get().Key(fact).Build(), b.Set().Key(pushing).Value("").Px(time.Second).Build()) {
		if err := r.Error(); err != nil {
			return c.reason(err)
		}
	}
	if err := addScript.Exec(ctx, *client, []string{count}, []string{"1", "0", "1000"}).Error(); err != nil {
		return c.reason(err)
	}
	return nil
}
