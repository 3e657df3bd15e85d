using System.Globalization;

namespace VllmNative.BindingGenerator;

/// <summary>How C types become C# types, and how large they are on a 64-bit target. An unknown type is an error.</summary>
internal sealed class TypeMap(HeaderModel header)
{
    private static readonly Dictionary<string, (string Name, int Bytes)> Scalars = new()
    {
        ["int32_t"] = ("int", 4),
        ["uint32_t"] = ("uint", 4),
        ["int64_t"] = ("long", 8),
        ["uint64_t"] = ("ulong", 8),
        ["uint8_t"] = ("byte", 1),
        ["char"] = ("byte", 1),
        ["float"] = ("float", 4),
        ["double"] = ("double", 8),
    };

    /// <summary>A field's C# type. Every address is an nint: it may lie on a device, and nobody here may follow it.</summary>
    public string Field(string type)
    {
        if (type == "vn_log_callback")
        {
            return "delegate* unmanaged[Cdecl]<nint, int, byte*, void>";
        }
        if (type.EndsWith('*'))
        {
            return "nint";
        }
        if (Array(type) is (string element, int length))
        {
            return InlineArray(element, length);
        }
        return Scalars.TryGetValue(type, out var scalar) ? scalar.Name : Naming.Struct(StructOf(type).Name);
    }

    /// <summary>The name of the inline array type for a C array of this C element type.</summary>
    public static string InlineArray(string element, int length) => $"{Pascal(Scalars[element].Name)}Array{length}";

    /// <summary>The C# element type of a C array.</summary>
    public static string Element(string element) => Scalars[element].Name;

    /// <summary>Splits <c>T[n]</c>; null for another type.</summary>
    public static (string Element, int Length)? Array(string type)
    {
        int bracket = type.IndexOf('[', StringComparison.Ordinal);
        return bracket < 0 ? null : (type[..bracket].Trim(), int.Parse(type[(bracket + 1)..^1], CultureInfo.InvariantCulture));
    }

    /// <summary>A function's C# return type.</summary>
    public static string Return(string type) => type switch
    {
        "void" => "void",
        "const char *" => "byte*",
        _ => Scalars.TryGetValue(type, out var scalar) ? scalar.Name : throw new GeneratorException($"return type '{type}' is not known"),
    };

    /// <summary>A parameter's C# type with its <c>out</c>, by the rules in bindings/README.md.</summary>
    public string Parameter(HeaderFunction function, HeaderField parameter)
    {
        string type = parameter.Type;
        bool isOut = parameter.Name.StartsWith("out_", StringComparison.Ordinal);
        if (Scalars.TryGetValue(type, out var scalar))
        {
            return scalar.Name;
        }
        if (type == "const char *")
        {
            return "string";
        }
        if (type is "void *" or "const void *")
        {
            return "nint";
        }
        string target = type.TrimEnd('*', ' ').Replace("const ", "", StringComparison.Ordinal);
        int depth = type.Count(c => c == '*');
        if (isOut && depth == 2 && target is ("void" or "char"))
        {
            return "out nint";
        }
        if (isOut && depth == 1 && Scalars.TryGetValue(target, out var pointee))
        {
            return $"out {pointee.Name}";
        }
        if (header.Handles.Contains(target))
        {
            // The release path of a SafeHandle holds nothing but the address.
            bool isDestroy = function.Name.EndsWith("_destroy", StringComparison.Ordinal);
            return (isOut, depth, isDestroy) switch
            {
                (true, 2, _) => $"out {Naming.Handle(target)}",
                (false, 1, true) => "nint",
                (false, 1, false) => Naming.Handle(target),
                _ => throw Unknown(function, parameter),
            };
        }
        if (depth == 1 && header.Structs.Any(s => s.Name == target))
        {
            return $"{Naming.Struct(target)}*";
        }
        throw Unknown(function, parameter);
    }

    /// <summary>Size and field offsets by the C rule of natural alignment, in bytes.</summary>
    public (int Bytes, int Alignment, int[] Offsets) Layout(HeaderStruct @struct)
    {
        int end = 0, alignment = 1;
        var offsets = new int[@struct.Fields.Count];
        for (int i = 0; i < offsets.Length; i++)
        {
            (int bytes, int align) = Measure(@struct.Fields[i].Type);
            offsets[i] = RoundUp(end, align);
            end = offsets[i] + bytes;
            alignment = Math.Max(alignment, align);
        }
        return (RoundUp(end, alignment), alignment, offsets);
    }

    private (int Bytes, int Alignment) Measure(string type)
    {
        if (type.EndsWith('*') || type == "vn_log_callback")
        {
            return (8, 8);
        }
        if (Array(type) is (string element, int length))
        {
            return (Scalars[element].Bytes * length, Scalars[element].Bytes);
        }
        if (Scalars.TryGetValue(type, out var scalar))
        {
            return (scalar.Bytes, scalar.Bytes);
        }
        (int bytes, int alignment, _) = Layout(StructOf(type));
        return (bytes, alignment);
    }

    private HeaderStruct StructOf(string type) =>
        header.Structs.FirstOrDefault(s => s.Name == type) ?? throw new GeneratorException($"field type '{type}' is not known");

    private static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    private static string Pascal(string keyword) => char.ToUpperInvariant(keyword[0]) + keyword[1..];

    private static GeneratorException Unknown(HeaderFunction function, HeaderField parameter) =>
        new($"{function.Name}: parameter {parameter.Name}: type '{parameter.Type}' is not known");
}
