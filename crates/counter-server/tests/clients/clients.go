// Counts through redigo.
package main

import (
	"fmt"
	"log"
	"os"
	"reflect"
	"strings"
	"sync"

	"github.com/gomodule/redigo/redis"
)

var pool = redis.Pool{
	MaxIdle: 8,
	Dial: func() (redis.Conn, error) {
		return redis.Dial("tcp", "127.0.0.1:"+os.Getenv("COUNTER_PORT"))
	},
}

func equal(what string, found interface{}, err error, expected interface{}) {
	if err != nil || !reflect.DeepEqual(found, expected) {
		log.Fatalf("%s: %v (%v) instead of %v", what, found, err, expected)
	}
}

func do(command string, arguments ...interface{}) (interface{}, error) {
	connection := pool.Get()
	defer connection.Close()
	return connection.Do(command, arguments...)
}

func counts() {
	found, err := redis.String(do("FLUSHALL"))
	equal("flushall", found, err, "OK")
	number, err := redis.Int64(do("INCRBY", "a", 42))
	equal("incrby", number, err, int64(42))
	number, err = redis.Int64(do("GET", "a"))
	equal("get", number, err, int64(42))
	_, err = redis.Int64(do("GET", "none"))
	equal("a name without a counter", err == redis.ErrNil, nil, true)
	pair, err := redis.Strings(do("MGET", "a", "none"))
	equal("mget", pair, err, []string{"42", ""})
	found, err = redis.String(do("SET", "b", 5, "EX", 100, "NX"))
	equal("set", found, err, "OK")
	_, err = do("SET", "a", "text")
	equal("text", err != nil && strings.Contains(err.Error(), "not an integer"), nil, true)
}

// Sends all of a pipeline before it reads the first reply.
func pipeline() {
	connection := pool.Get()
	defer connection.Close()
	for n := 0; n < 1000; n++ {
		if err := connection.Send("INCR", "p"); err != nil {
			log.Fatal(err)
		}
	}
	if err := connection.Flush(); err != nil {
		log.Fatal(err)
	}
	for n := int64(1); n <= 1000; n++ {
		number, err := redis.Int64(connection.Receive())
		equal("pipeline", number, err, n)
	}
}

func transaction() {
	connection := pool.Get()
	defer connection.Close()
	for _, command := range [][]interface{}{{"MULTI"}, {"INCR", "t"}, {"EXPIRE", "t", 100}, {"GET", "t"}} {
		if err := connection.Send(command[0].(string), command[1:]...); err != nil {
			log.Fatal(err)
		}
	}
	replies, err := redis.Values(connection.Do("EXEC"))
	equal("transaction", replies, err, []interface{}{int64(1), int64(1), []byte("1")})
}

func scan() {
	names, cursor := map[string]bool{}, "0"
	for first := true; first || cursor != "0"; first = false {
		page, err := redis.Values(do("SCAN", cursor, "COUNT", 1))
		if err != nil {
			log.Fatal(err)
		}
		var more []string
		if _, err = redis.Scan(page, &cursor, &more); err != nil {
			log.Fatal(err)
		}
		for _, name := range more {
			names[name] = true
		}
	}
	equal("scan", names, nil, map[string]bool{"a": true, "b": true, "p": true, "t": true})
}

// No two callers get the same value.
func unique() {
	const callers, calls = 8, 500
	var all sync.WaitGroup
	values := make(chan int64, callers*calls)
	for caller := 0; caller < callers; caller++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for call := 0; call < calls; call++ {
				value, err := redis.Int64(do("INCR", "unique"))
				if err != nil {
					log.Fatal(err)
				}
				values <- value
			}
		}()
	}
	all.Wait()
	close(values)
	seen := map[int64]bool{}
	for value := range values {
		seen[value] = true
	}
	equal("values that differ", len(seen), nil, callers*calls)
	equal("the last value", seen[callers*calls], nil, true)
}

func main() {
	counts()
	pipeline()
	transaction()
	scan()
	unique()
	fmt.Println("redigo: counted")
}
