package deadcode

func Exported() { used() }

func used() {}

func unused() {} // want `func unused is unused`
