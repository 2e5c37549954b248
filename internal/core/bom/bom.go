package bom

// Mark is U+FEFF in UTF-8.
const Mark = "\xef\xbb\xbf"

// Skip gives the text behind a mark at its beginning.
func Skip[T string | []byte](text T) T {
	if len(text) >= len(Mark) && string(text[:len(Mark)]) == Mark {
		return text[len(Mark):]
	}
	return text
}
