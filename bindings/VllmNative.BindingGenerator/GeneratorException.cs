namespace VllmNative.BindingGenerator;

/// <summary>The header, the compiler or the command line is not what the generator can work with; one line says why.</summary>
internal sealed class GeneratorException(string message) : Exception(message);
