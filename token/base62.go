package token

import "math/bits"

// Base62 with a fixed width: the input is one big-endian number, written with
// leading zeros to the width that its largest value needs. Each value has then
// exactly one spelling, and a spelling beyond the largest value is refused.

const base62Digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// base62Value maps a character to its digit, 255 for every other one.
var base62Value = func() (v [256]byte) {
	for i := range v {
		v[i] = 255
	}
	for i := range len(base62Digits) {
		v[base62Digits[i]] = byte(i)
	}
	return v
}()

// A step handles ten digits at once: 62^10 is the largest power of 62 that
// leaves room in 64 bits.
const (
	stepDigits = 10
	stepBase   = 839299365868340224 // 62^10
)

// encodeBase62 fills dst with the number in limbs (most significant first) and
// leaves limbs zero.
func encodeBase62(dst []byte, limbs []uint64) {
	for len(dst) > 0 {
		var rest uint64
		for i, limb := range limbs {
			limbs[i], rest = bits.Div64(rest, limb, stepBase)
		}
		n := min(stepDigits, len(dst))
		for i := range n {
			dst[len(dst)-1-i] = base62Digits[rest%62]
			rest /= 62
		}
		dst = dst[:len(dst)-n]
	}
}

// decodeBase62 reads src into limbs (most significant first) and reports
// whether it had only base62 digits and a value that fits.
func decodeBase62(limbs []uint64, src string) bool {
	clear(limbs)
	for len(src) > 0 {
		// The odd digits come first, so that every later step is whole.
		n := len(src) % stepDigits
		if n == 0 {
			n = stepDigits
		}
		var value, base uint64 = 0, 1
		for i := range n {
			d := base62Value[src[i]]
			if d == 255 {
				return false
			}
			value, base = value*62+uint64(d), base*62
		}
		for i := len(limbs) - 1; i >= 0; i-- {
			hi, lo := bits.Mul64(limbs[i], base)
			lo, carry := bits.Add64(lo, value, 0)
			limbs[i], value = lo, hi+carry
		}
		if value != 0 {
			return false
		}
		src = src[n:]
	}
	return true
}
