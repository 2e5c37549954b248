package forbidden

import "math/rand" // want `randomness is crypto/rand's`

func Number() int { return rand.Int() }
