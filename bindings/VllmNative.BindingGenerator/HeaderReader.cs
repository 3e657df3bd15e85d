using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace VllmNative.BindingGenerator;

/// <summary>Turns clang's syntax tree, the header's macros and its comments into a <see cref="HeaderModel"/>.</summary>
internal sealed partial class HeaderReader
{
    private readonly CommentMap _comments;
    private readonly JsonElement[] _declarations;

    private HeaderReader(CommentMap comments, JsonElement root)
    {
        _comments = comments;
        // The prefix tells the header's own declarations from those of <stdint.h>.
        _declarations = root.GetProperty("inner").EnumerateArray().Where(d => Name(d).StartsWith("vn_", StringComparison.Ordinal)).ToArray();
    }

    /// <summary>Reads the header with the given clang.</summary>
    public static HeaderModel Read(string headerPath, string clang)
    {
        byte[] bytes = File.ReadAllBytes(headerPath);
        using JsonDocument ast = ClangFrontEnd.DumpAst(clang, headerPath);
        var reader = new HeaderReader(new CommentMap(bytes), ast.RootElement);
        List<HeaderStruct> structs = reader.Structs();
        return new HeaderModel(
            Hash(bytes),
            reader.Constants(),
            reader.Handles(),
            structs,
            reader.Functions(structs));
    }

    /// <summary>SHA-256 in lower-case hexadecimal.</summary>
    public static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private List<HeaderConstant> Constants()
    {
        var constants = new List<HeaderConstant>();
        foreach (Match match in Define().Matches(_comments.Text))
        {
            string name = match.Groups["name"].Value;
            string value = match.Groups["value"].Value.Trim();
            if (name == "VN_API")
            {
                continue;
            }
            if (!int.TryParse(value.Trim('(', ')'), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number))
            {
                throw new GeneratorException($"#define {name}: value '{value}', expected a decimal integer");
            }
            string? comment = _comments.Behind(match.Groups["value"].Index) ?? _comments.Above(match.Index);
            constants.Add(new HeaderConstant(name, number, _comments.Section(match.Index), comment));
        }
        return constants;
    }

    private List<string> Handles()
    {
        HashSet<string> complete = Records().Where(IsComplete).Select(Name).ToHashSet();
        return Records().Select(Name).Where(n => !complete.Contains(n)).Distinct().ToList();
    }

    private List<HeaderStruct> Structs()
    {
        Dictionary<string, JsonElement> typedefs = OfKind("TypedefDecl").ToDictionary(Name);
        var structs = new List<HeaderStruct>();
        foreach (JsonElement record in Records().Where(IsComplete))
        {
            string name = Name(record);
            List<HeaderField> fields = Inner(record)
                .Where(d => Kind(d) == "FieldDecl")
                .Select(d => new HeaderField(Name(d), Type(d), _comments.Behind(End(d)) ?? _comments.Above(Start(d))))
                .ToList();
            structs.Add(new HeaderStruct(name, fields, _comments.Above(Start(typedefs[name]))));
        }
        return structs;
    }

    private List<HeaderFunction> Functions(List<HeaderStruct> structs)
    {
        var functions = new List<HeaderFunction>();
        foreach (JsonElement function in OfKind("FunctionDecl"))
        {
            List<HeaderField> parameters = Inner(function)
                .Where(d => Kind(d) == "ParmVarDecl")
                .Select(d => new HeaderField(Name(d), Type(d), null))
                .ToList();
            string type = Type(function);
            string name = Name(function);
            // An operation's comment stands above its parameter struct.
            string? comment = _comments.Above(Start(function))
                ?? structs.FirstOrDefault(s => parameters.Any(p => p.Type == $"const {s.Name} *"))?.Comment;
            functions.Add(new HeaderFunction(name, type[..type.IndexOf('(', StringComparison.Ordinal)].Trim(), parameters, comment));
        }
        return functions;
    }

    private IEnumerable<JsonElement> Records() => OfKind("RecordDecl");

    private IEnumerable<JsonElement> OfKind(string kind) => _declarations.Where(d => Kind(d) == kind);

    private static JsonElement[] Inner(JsonElement declaration) =>
        declaration.TryGetProperty("inner", out JsonElement inner) ? [.. inner.EnumerateArray()] : [];

    private static string Kind(JsonElement declaration) => declaration.GetProperty("kind").GetString()!;

    private static string Name(JsonElement declaration) =>
        declaration.TryGetProperty("name", out JsonElement name) ? name.GetString()! : "";

    private static string Type(JsonElement declaration) => declaration.GetProperty("type").GetProperty("qualType").GetString()!;

    private static bool IsComplete(JsonElement record) => record.TryGetProperty("completeDefinition", out _);

    private static int Start(JsonElement declaration) => Offset(declaration, "begin");

    private static int End(JsonElement declaration) => Offset(declaration, "end");

    private static int Offset(JsonElement declaration, string side)
    {
        JsonElement location = declaration.GetProperty("range").GetProperty(side);
        // A declaration that begins with a macro (VN_API) has the place of its use here.
        if (location.TryGetProperty("expansionLoc", out JsonElement expansion))
        {
            location = expansion;
        }
        return location.GetProperty("offset").GetInt32();
    }

    [GeneratedRegex(@"^#define[ \t]+(?<name>VN_\w+)[ \t]+(?<value>[^\n/]+)", RegexOptions.Multiline)]
    private static partial Regex Define();
}
