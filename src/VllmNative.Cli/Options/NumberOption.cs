using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace VllmNative.Cli.Options;

/// <summary>Options that hold a number and may be absent; a bad value is an error that names option and value.</summary>
internal static class NumberOption
{
    internal static Option<int?> Integer(string name, string description) => Create<int>(name, description, "N", "a whole number");

    internal static Option<long?> Long(string name, string description) => Create<long>(name, description, "N", "a whole number");

    internal static Option<float?> Real(string name, string description) => Create<float>(name, description, "X", "a number");

    internal static Option<double?> Fraction(string name, string description) => Create<double>(name, description, "X", "a number");

    internal static Option<double?> Gibibytes(string name, string description) => Create<double>(name, description, "GIB", "a number of GiB");

    internal static Option<double?> Milliseconds(string name, string description) => Create<double>(name, description, "MS", "a number of milliseconds");

    /// <summary>Whole numbers between commas; "" is none.</summary>
    internal static Option<int[]> Integers(string name, string description, int[] defaults) => new(name)
    {
        Description = $"{description} Default: {string.Join(',', defaults)}.",
        HelpName = "N,N,...",
        DefaultValueFactory = _ => defaults,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            List<int> values = [];
            foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries))
            {
                if (!int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int value))
                {
                    result.AddError($"{name} is \"{text}\", expected whole numbers between commas.");
                    break;
                }

                values.Add(value);
            }

            return [.. values];
        },
    };

    /// <summary>A whole number with vLLM's suffixes.</summary>
    internal static Option<long?> Size(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "SIZE",
        CustomParser = result =>
        {
            if (ByteSize.TryParse(result.Tokens[0].Value, out long value, out string error))
            {
                return value;
            }

            result.AddError($"{name} {error}.");
            return null;
        },
    };

    private static Option<T?> Create<T>(string name, string description, string helpName, string expected)
        where T : struct, INumber<T> => new(name)
        {
            Description = description,
            HelpName = helpName,
            CustomParser = result => Parse<T>(name, expected, result),
        };

    private static T? Parse<T>(string name, string expected, ArgumentResult result)
        where T : struct, INumber<T>
    {
        string text = result.Tokens[0].Value;
        if (T.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out T value))
        {
            return value;
        }

        result.AddError($"{name} is \"{text}\", expected {expected}.");
        return null;
    }
}
